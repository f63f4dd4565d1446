// Nothing is ever written outside the target, whatever a snapshot says and whatever stands at the target.
import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { createTestArchive, directory, file, symlink, type TestArchive } from './archive.ts'
import { restoreTo, targetFolder } from './target-folder.ts'

/** Pages of two snapshots put together: what no backup makes, but whoever has a key could. */
async function hostileArchive(first: Parameters<TestArchive['add']>[0], second: Parameters<TestArchive['add']>[0]): Promise<TestArchive> {
  const archive = createTestArchive()
  const { pages } = await archive.add(first)
  const more = await archive.add(second)
  await archive.add([], { pages: [...pages, ...more.pages] })
  return archive
}

function places(t: { teardown(fn: () => void): void }): { to: string; outside: string } {
  const folder = targetFolder(t)
  const to = join(folder, 'target')
  const outside = join(folder, 'outside')
  mkdirSync(to)
  mkdirSync(outside)
  writeFileSync(join(outside, 'precious'), 'precious')
  return { to, outside }
}
const isUntouched = (outside: string): boolean => readdirSync(outside).join() === 'precious' && readFileSync(join(outside, 'precious'), 'utf8') === 'precious'

for (const onConflict of ['rename', 'overwrite', 'skip'] as const) {
  test(`a symbolic link of the snapshot is not written through by later entries below it (${onConflict})`, async t => {
    const { to, outside } = places(t)
    const archive = await hostileArchive(
      [symlink('a', outside)],
      [file('a/precious', 'evil'), file('a/small', 'evil'), file('a/large', randomBytes(2_000_000)), { path: 'a/fifo', mode: 0o010644 }],
    )
    const tally = await restoreTo(archive, to, { onConflict })
    t.true(isUntouched(outside))
    // One of the two can't be where the snapshot says.
    t.true(tally.failure_count + tally.renamed_count + tally.skipped > 0)
  })

  test(`a directory entry in the place of a symbolic link of the snapshot leads nowhere outside (${onConflict})`, async t => {
    const { to, outside } = places(t)
    const archive = await hostileArchive([symlink('a', outside)], [directory('a/b', { mode: 0o040777 }), file('a/b/x', 'evil')])
    await restoreTo(archive, to, { onConflict })
    t.true(isUntouched(outside))
    t.is(statSync(outside).mode & 0o002, 0)
  })

  test(`a symbolic link that stood at the target is not written through (${onConflict})`, async t => {
    const { to, outside } = places(t)
    symlinkSync(outside, join(to, 'd'))
    symlinkSync(join(outside, 'precious'), join(to, 'f'))
    symlinkSync(join(outside, 'new'), join(to, 'l'))
    const archive = createTestArchive()
    await archive.add([directory('d'), file('d/precious', 'evil'), file('f', 'evil'), file('l', randomBytes(2_000_000))])
    await restoreTo(archive, to, { onConflict })
    t.true(isUntouched(outside))
  })
}

test('a symbolic link that stands in the way of a path that was asked for is not followed', async t => {
  const { to, outside } = places(t)
  symlinkSync(outside, join(to, 'home'))
  const archive = createTestArchive()
  await archive.add([directory('home'), directory('home/ann'), file('home/ann/precious', 'evil'), file('home/ann/x', 'x')], { breaks: ['home/ann/x'] })
  const tally = await restoreTo(archive, to, { paths: ['home/ann/precious', 'home/ann/x'] })
  t.true(isUntouched(outside))
  t.is(tally.files, 0)
  t.deepEqual(
    tally.failures.map(({ code, isDamage }) => ({ code, isDamage })),
    Array.from({ length: 2 }, () => ({ code: 'ENOTDIR', isDamage: false })),
  )
})

test('a directory that is exchanged for a symbolic link while it is being restored is not written through', async t => {
  const { to, outside } = places(t)
  const archive = createTestArchive()
  const files = Array.from({ length: 8 }, (_, i) => file(`d/f${i}`, randomBytes(1_100_000)))
  await archive.add([directory('d'), ...files])
  let reads = 0
  archive.onRead = () => {
    // Page and snapshot come first; the directory is made by then.
    if (++reads !== 8 || !existsSync(join(to, 'd'))) return
    renameSync(join(to, 'd'), join(to, 'moved'))
    symlinkSync(outside, join(to, 'd'))
  }
  await restoreTo(archive, to)
  t.true(isUntouched(outside))
  t.true(lstatSync(join(to, 'd')).isSymbolicLink())
})

test('a hard link is never made to a file outside', async t => {
  const { to, outside } = places(t)
  const archive = createTestArchive()
  await archive.add([directory('d'), file('d/one', 'data', { ino: 9n, nlink: 2 }), directory('e'), file('e/two', 'data', { ino: 9n, nlink: 2 })], {
    breaks: ['e/two'],
  })
  symlinkSync(outside, join(to, 'e'))
  const tally = await restoreTo(archive, to)
  t.deepEqual(tally.failures, [])
  t.true(isUntouched(outside))
  t.is(readFileSync(join(to, 'e.restored/two'), 'utf8'), 'data')
})

test('a target that is no directory is refused', async t => {
  const { to } = places(t)
  writeFileSync(join(to, 'file'), '')
  const archive = createTestArchive()
  await archive.add([file('x', 'x')])
  await t.throwsAsync(restoreTo(archive, join(to, 'file')), { code: 'TARGET_UNUSABLE' })
  await t.throwsAsync(restoreTo(archive, join(to, 'file/below')), { code: 'TARGET_UNUSABLE' })
})
