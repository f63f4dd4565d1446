// A directory for one test, and what a restore needs beside it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RestoreOptions, restore } from '#restore/restore.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import type { Tally } from '#restore/tally.ts'
import type { TestArchive } from './archive.ts'

export function targetFolder(t: { teardown(fn: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-restore-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Restores the newest snapshot of a test archive. */
export const restoreTo = async (archive: TestArchive, target: string | undefined, more: Partial<RestoreOptions> = {}): Promise<Tally> =>
  restore({
    source: archive.source,
    keys: archive.keys,
    ring: archive.ring,
    snapshot: await openSnapshotAt(archive.source, archive.keys, 'latest'),
    paths: [],
    target,
    onConflict: 'rename',
    isResume: false,
    ...more,
  })
