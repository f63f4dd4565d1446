// An index that failed while it was in use, on writing or on reading, is not to be believed any more: a file in the store
// says so, and at the next opening the index is thrown away and made again from the segments.
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fault } from '#protocol/errors.ts'
import type { Fault } from '#protocol/fault.ts'
import { realDisk } from './real-disk.ts'

const INDEX_FAILED_NAME = 'index-failed'

/** Has the index thrown away at the next opening; if even that cannot be written, the disk has told so in other ways. */
export async function noteIndexFailed(store: { readonly home_dir: string; readonly disk: object }): Promise<void> {
  if (store.disk === realDisk) await writeFile(join(store.home_dir, INDEX_FAILED_NAME), '').catch(() => undefined)
}

/** What whoever asked is told when the index cannot be read; it is thrown away at the next opening. */
export async function indexUnreadable(store: Parameters<typeof noteIndexFailed>[0], cause: unknown): Promise<Fault> {
  await noteIndexFailed(store)
  return fault('ARCHIVE_FAILED', { found: 'the index cannot be read', next: 'restart the storage node: the index is made again', cause })
}

/** Whether the index failed when it was last in use. */
export const hasIndexFailed = (home_dir: string): boolean => existsSync(join(home_dir, INDEX_FAILED_NAME))

/** Once the index was thrown away. */
export const forgetIndexFailed = (home_dir: string): Promise<void> => rm(join(home_dir, INDEX_FAILED_NAME), { force: true })
