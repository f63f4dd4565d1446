import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { createTestArchive, directory, file, symlink, type TestArchive } from './archive.ts'
import { restoreTo, targetFolder } from './target-folder.ts'

const large = randomBytes(2 * 1024 * 1024)

async function archiveWithAll(): Promise<TestArchive> {
  const archive = createTestArchive()
  await archive.add([
    directory('d'),
    file('d/small.txt', 'restored'),
    file('d/large.bin', large),
    file('d/empty', ''),
    symlink('d/link', 'somewhere'),
    file('d/one', 'linked', { ino: 5n, nlink: 2 }),
    file('d/two', 'linked', { ino: 5n, nlink: 2 }),
  ])
  return archive
}
const NAMES = ['small.txt', 'large.bin', 'empty', 'link', 'one', 'two']

function occupy(to: string): void {
  mkdirSync(join(to, 'd'))
  for (const name of NAMES) writeFileSync(join(to, 'd', name), 'was here')
}

test('rename: what was there stays, and the restored files get other names beside it', async t => {
  const to = targetFolder(t)
  occupy(to)
  const tally = await restoreTo(await archiveWithAll(), to)
  t.deepEqual(tally.failures, [])
  for (const name of NAMES) t.is(readFileSync(join(to, 'd', name), 'utf8'), 'was here', name)
  t.is(readFileSync(join(to, 'd/small.restored.txt'), 'utf8'), 'restored')
  t.true(readFileSync(join(to, 'd/large.restored.bin')).equals(large))
  t.true(lstatSync(join(to, 'd/link.restored')).isSymbolicLink())
  t.is(lstatSync(join(to, 'd/one.restored')).ino, lstatSync(join(to, 'd/two.restored')).ino)
  t.is(tally.renamed_count, 6)
  t.deepEqual(
    tally.renamed.find(([path]) => path === 'd/small.txt'),
    ['d/small.txt', 'd/small.restored.txt'],
  )
  t.is(readdirSync(join(to, 'd')).length, 12)
  t.is((await restoreTo(await archiveWithAll(), to)).renamed.find(([path]) => path === 'd/small.txt')?.[1], 'd/small.restored-2.txt')
})

test('overwrite: the restored files take the places, and nothing else is left', async t => {
  const to = targetFolder(t)
  occupy(to)
  const tally = await restoreTo(await archiveWithAll(), to, { onConflict: 'overwrite' })
  t.deepEqual(tally.failures, [])
  t.is(readFileSync(join(to, 'd/small.txt'), 'utf8'), 'restored')
  t.true(readFileSync(join(to, 'd/large.bin')).equals(large))
  t.is(readFileSync(join(to, 'd/empty'), 'utf8'), '')
  t.true(lstatSync(join(to, 'd/link')).isSymbolicLink())
  t.is(lstatSync(join(to, 'd/one')).ino, lstatSync(join(to, 'd/two')).ino)
  t.deepEqual(readdirSync(join(to, 'd')).sort(), [...NAMES].sort())
  t.is(tally.renamed_count, 0)
})

test('skip: what was there stays, and nothing is put beside it', async t => {
  const to = targetFolder(t)
  occupy(to)
  const tally = await restoreTo(await archiveWithAll(), to, { onConflict: 'skip' })
  t.deepEqual(tally.failures, [])
  for (const name of NAMES) t.is(readFileSync(join(to, 'd', name), 'utf8'), 'was here', name)
  t.deepEqual(readdirSync(join(to, 'd')).sort(), [...NAMES].sort())
  t.is(tally.skipped, 6)
  t.is(tally.files, 0)
})

test('a hard link whose first name was skipped is restored as a file of its own, never linked to what was there', async t => {
  const to = targetFolder(t)
  mkdirSync(join(to, 'd'))
  writeFileSync(join(to, 'd/one'), 'was here')
  const tally = await restoreTo(await archiveWithAll(), to, { onConflict: 'skip' })
  t.deepEqual(tally.failures, [])
  t.is(readFileSync(join(to, 'd/one'), 'utf8'), 'was here')
  t.is(readFileSync(join(to, 'd/two'), 'utf8'), 'linked')
  t.not(lstatSync(join(to, 'd/one')).ino, lstatSync(join(to, 'd/two')).ino)
})

test('overwrite never removes a directory for a file: the file is named as not restored', async t => {
  const to = targetFolder(t)
  mkdirSync(join(to, 'd/small.txt/in'), { recursive: true })
  const tally = await restoreTo(await archiveWithAll(), to, { onConflict: 'overwrite' })
  t.deepEqual(
    tally.failures.map(({ path, isDamage }) => ({ path, isDamage })),
    [{ path: 'd/small.txt', isDamage: false }],
  )
  t.true(existsSync(join(to, 'd/small.txt/in')))
  t.is(tally.files, 5)
  t.false(readdirSync(join(to, 'd')).some(name => name.startsWith('.holdfast')))
})

for (const what of ['a file', 'a symbolic link'] as const) {
  const take = (to: string): void => (what === 'a file' ? writeFileSync(join(to, 'd'), 'was here') : symlinkSync('/tmp', join(to, 'd')))

  test(`rename: a directory whose place is taken by ${what} gets another name, with all that is in it`, async t => {
    const to = targetFolder(t)
    take(to)
    const tally = await restoreTo(await archiveWithAll(), to)
    t.deepEqual(tally.failures, [])
    t.false(lstatSync(join(to, 'd')).isDirectory())
    t.is(readFileSync(join(to, 'd.restored/small.txt'), 'utf8'), 'restored')
    t.deepEqual(readdirSync(join(to, 'd.restored')).sort(), [...NAMES].sort())
  })

  test(`skip: what lies below a directory whose place is taken by ${what} is named as not restored`, async t => {
    const to = targetFolder(t)
    take(to)
    const tally = await restoreTo(await archiveWithAll(), to, { onConflict: 'skip' })
    t.is(tally.failure_count, 7)
    t.false(lstatSync(join(to, 'd')).isDirectory())
    t.deepEqual(readdirSync(to), ['d'])
  })

  test(`overwrite: a directory takes the place of ${what}`, async t => {
    const to = targetFolder(t)
    take(to)
    t.deepEqual((await restoreTo(await archiveWithAll(), to, { onConflict: 'overwrite' })).failures, [])
    t.is(readFileSync(join(to, 'd/small.txt'), 'utf8'), 'restored')
  })
}
