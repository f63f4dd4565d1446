// What the ESP says of updates: there is no other record, so there is none that could be wrong.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type BootEntry, readEntries } from './boot-entries.ts'
import type { Media } from './media.ts'

export type UpdateStatus = {
  readonly version: number
  /** This release falls back to the one before unless it is kept. */
  readonly is_on_trial: boolean
  /** A release that the next start tries. */
  readonly waiting: number | null
  /** A release that had its tries and was not kept. */
  readonly failed: number | null
  /** A release that was kept before, and is still there. */
  readonly before: number | null
}

/** @param version  of the release that runs */
export async function updateStatus(media: Media, esp: string, version: number): Promise<UpdateStatus> {
  const entries = await readEntries(media, esp)
  const newest = (isIt: (entry: BootEntry) => boolean): number | null => Math.max(0, ...entries.filter(isIt).map(entry => entry.version)) || null
  const own = entries.filter(entry => entry.version === version)
  return {
    version,
    is_on_trial: own.length > 0 && own.every(({ tries_left }) => tries_left !== undefined),
    waiting: newest(entry => entry.version > version && entry.tries_left !== 0),
    failed: newest(entry => entry.version !== version && entry.tries_left === 0),
    before: newest(entry => entry.version < version && entry.tries_left === undefined),
  }
}

/** Where the machine's health looks for what others want said (image/life/attention.ts). */
export const ATTENTION_FILE = '/run/holdfast/attention.d/update.json'

/** Has the screen say of a release that was not kept; of nothing else. */
export async function showFailed({ version, failed }: UpdateStatus, now_ms: number, path = ATTENTION_FILE): Promise<void> {
  if (failed === null) return rm(path, { force: true })
  const text = `release ${failed} did not do its work and was not kept; release ${version} runs`
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.new`, JSON.stringify({ items: [{ code: 'update-not-kept', text, since_ms: now_ms }] }))
  await rename(`${path}.new`, path)
}
