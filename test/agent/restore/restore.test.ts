import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { restore, type RestoreOptions } from '#restore/restore.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import type { Tally } from '#restore/tally.ts'
import { createTestArchive, directory, file, type TestArchive } from './archive.ts'

const target = (t: { teardown(fn: () => void): void }): string => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-restore-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
const run = async (archive: TestArchive, to: string, more: Partial<RestoreOptions> = {}): Promise<Tally> =>
  restore({
    source: archive.source,
    keys: archive.keys,
    ring: archive.ring,
    snapshot: await openSnapshotAt(archive.source, archive.keys, 'latest'),
    paths: [],
    target: to,
    onConflict: 'rename',
    isResume: false,
    ...more,
  })

test('a restore brings back content, modes and times of small, large and empty files', async t => {
  const archive = createTestArchive()
  const large = randomBytes(5 * 1024 * 1024 + 17)
  await archive.add([
    directory('home'),
    directory('home/ann', { mode: 0o040750, mtime_ns: 1_600_000_000_000_000_001n }),
    file('home/ann/a', 'alpha', { mode: 0o100600 }),
    file('home/ann/b', 'beta'),
    file('home/ann/empty', ''),
    file('home/ann/large', large),
  ])
  const to = target(t)
  const tally = await run(archive, to)
  t.deepEqual(tally.failures, [])
  t.is(tally.files, 4)
  t.is(readFileSync(join(to, 'home/ann/a'), 'utf8'), 'alpha')
  t.is(readFileSync(join(to, 'home/ann/b'), 'utf8'), 'beta')
  t.is(readFileSync(join(to, 'home/ann/empty'), 'utf8'), '')
  t.true(readFileSync(join(to, 'home/ann/large')).equals(large))
  t.is(statSync(join(to, 'home/ann/a')).mode & 0o7777, 0o600)
  t.is(statSync(join(to, 'home/ann')).mode & 0o7777, 0o750)
  t.is(statSync(join(to, 'home/ann/a'), { bigint: true }).mtimeNs / 1000n, 1_700_000_000_123_456n)
})
