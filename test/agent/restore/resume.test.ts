import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { writeKeyFile } from '#format/key-file.ts'
import { TEMPORARY_PREFIX } from '#restore/assembly.ts'
import { createTestArchive, directory, file, symlink, type TestArchive } from './archive.ts'
import { writeArchiveDirectory } from './archive-directory.ts'
import { restoreTo, targetFolder } from './target-folder.ts'

const MiB = 1024 * 1024

/** Kills a restore after so many blocks, without a chance to clean up. Returns the target. */
async function killedAfter(t: { teardown(fn: () => void): void }, archive: TestArchive, records: number): Promise<string> {
  const folder = targetFolder(t)
  const target = join(folder, 'target')
  const directory = await writeArchiveDirectory(archive, join(folder, 'store'))
  writeFileSync(join(folder, 'key'), writeKeyFile(archive.ring, { user: 'ann', tenant: 'site', made_ms: 0 }))
  const child = spawn(process.execPath, [join(import.meta.dirname, 'interrupted-child.ts'), directory, join(folder, 'key'), target, `${records}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve)
    child.once('exit', code => reject(new Error(`the child ended with ${code}`)))
  })
  const ended = new Promise(resolve => child.once('close', resolve))
  child.kill('SIGKILL')
  await ended
  return target
}

const blocksRead = (archive: TestArchive): number => archive.reads.filter(name => archive.records.get(name)?.[4] === 1).length

test('a restore that was killed inside a large file goes on: what stands there is checked and not fetched again', async t => {
  const archive = createTestArchive()
  const large = randomBytes(24 * MiB)
  await archive.add([
    directory('d', { mode: 0o040750 }),
    file('d/before', 'before'),
    file('d/large', large),
    file('d/nothing', ''),
    symlink('d/sym', 'before'),
    file('d/z', 'after'),
  ])
  const target = await killedAfter(t, archive, 14)
  const parts = readdirSync(join(target, 'd')).filter(name => name.startsWith(TEMPORARY_PREFIX))
  t.is(parts.length, 1)
  t.false(readdirSync(join(target, 'd')).includes('large'))
  archive.reads.length = 0
  const tally = await restoreTo(archive, target, { isResume: true })
  t.deepEqual(tally.failures, [])
  t.is(tally.files, 5)
  t.is(tally.renamed_count, 0)
  t.true(readFileSync(join(target, 'd/large')).equals(large))
  t.deepEqual(readdirSync(join(target, 'd')).sort(), ['before', 'large', 'nothing', 'sym', 'z'])
  t.is(statSync(join(target, 'd')).mode & 0o777, 0o750)
  t.true(blocksRead(archive) < 20, `${blocksRead(archive)} blocks were read`)
  t.true(blocksRead(archive) > 2)
})

test('what stands in the temporary file is never believed: an altered part is fetched again', async t => {
  const archive = createTestArchive()
  const large = randomBytes(12 * MiB)
  await archive.add([file('large', large)])
  const target = await killedAfter(t, archive, 10)
  const [part = ''] = readdirSync(target)
  const bytes = readFileSync(join(target, part))
  for (let at = MiB / 2; at < bytes.length; at += 3 * MiB) bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(join(target, part), bytes)
  t.deepEqual((await restoreTo(archive, target, { isResume: true })).failures, [])
  t.deepEqual(readdirSync(target), ['large'])
  t.true(readFileSync(join(target, 'large')).equals(large))
})

test('a temporary file with something in the holes is thrown away', async t => {
  const archive = createTestArchive()
  const data = randomBytes(4 * MiB)
  await archive.add([file('large', data, { holes: [[MiB, 2 * MiB]] })])
  const target = await killedAfter(t, archive, 3)
  const [part = ''] = readdirSync(target)
  const bytes = readFileSync(join(target, part))
  bytes.write('planted', 2 * MiB)
  writeFileSync(join(target, part), bytes)
  t.deepEqual((await restoreTo(archive, target, { isResume: true })).failures, [])
  t.true(readFileSync(join(target, 'large')).equals(Buffer.concat([data.subarray(0, MiB), Buffer.alloc(2 * MiB), data.subarray(MiB)])))
})

test('without --resume a restore that was killed begins anew, and leaves no temporary file', async t => {
  const archive = createTestArchive()
  const large = randomBytes(8 * MiB)
  await archive.add([file('large', large)])
  const target = await killedAfter(t, archive, 5)
  archive.reads.length = 0
  t.deepEqual((await restoreTo(archive, target)).failures, [])
  t.deepEqual(readdirSync(target), ['large'])
  t.true(blocksRead(archive) >= 8)
})

test('a finished restore that is resumed fetches no block, and sets metadata right again', async t => {
  const archive = createTestArchive()
  const linked = { ino: 3n, nlink: 2 }
  await archive.add([
    directory('d'),
    file('d/a', 'a'),
    file('d/large', randomBytes(3 * MiB)),
    file('d/one', 'linked', linked),
    file('d/two', 'linked', linked),
    symlink('d/s', 'a'),
  ])
  const target = targetFolder(t)
  await restoreTo(archive, target)
  utimesSync(join(target, 'd/a'), 5, 5)
  archive.reads.length = 0
  const tally = await restoreTo(archive, target, { isResume: true })
  t.deepEqual(tally.failures, [])
  t.is(tally.files, 5)
  t.is(tally.renamed_count, 0)
  t.is(blocksRead(archive), 0)
  t.deepEqual(readdirSync(join(target, 'd')).sort(), ['a', 'large', 'one', 's', 'two'])
  t.is(statSync(join(target, 'd/a'), { bigint: true }).mtimeNs, 1_700_000_000_123_456_789n)
  t.is(statSync(join(target, 'd/one')).nlink, 2)
})

test('a resumed restore keeps a file that was changed since, and puts the restored one beside it', async t => {
  const archive = createTestArchive()
  await archive.add([file('a.txt', 'from the backup'), file('b.txt', 'b')])
  const target = targetFolder(t)
  await restoreTo(archive, target)
  writeFileSync(join(target, 'a.txt'), 'changed by ann!')
  const tally = await restoreTo(archive, target, { isResume: true })
  t.deepEqual(tally.renamed, [['a.txt', 'a.restored.txt']])
  t.is(readFileSync(join(target, 'a.txt'), 'utf8'), 'changed by ann!')
  t.is(readFileSync(join(target, 'a.restored.txt'), 'utf8'), 'from the backup')
  // And once more: the one beside it is found.
  t.deepEqual((await restoreTo(archive, target, { isResume: true })).failures, [])
  t.deepEqual(readdirSync(target).sort(), ['a.restored.txt', 'a.txt', 'b.txt'])
})

test('a small file that a killed restore left incomplete is written anew', async t => {
  const archive = createTestArchive()
  await archive.add([file('a', 'whole content')])
  const target = targetFolder(t)
  writeFileSync(join(target, 'a'), 'whole', { mode: 0o1200 })
  const { chmodSync } = await import('node:fs')
  chmodSync(join(target, 'a'), 0o1200)
  const tally = await restoreTo(archive, target, { isResume: true })
  t.deepEqual(tally.failures, [])
  t.is(readFileSync(join(target, 'a'), 'utf8'), 'whole content')
  t.deepEqual(readdirSync(target), ['a'])
})
