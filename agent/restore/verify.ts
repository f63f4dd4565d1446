// Is everything there that a snapshot needs? The structure: every page opens, and the source has every block that it
// names. With `isDataRead`, every block is opened too, and every file's content hash compared: a restore that writes nothing.
import type { ArchiveKeys, KeyRing } from '#format/keys.ts'
import { type Page, TYPE, TYPE_MASK } from '#format/page.ts'
import { MISSING_IDS_MAX } from '#protocol/limits.ts'
import { ID_BYTES } from '#protocol/record.ts'
import { storedBytes } from './assembly.ts'
import type { Failure } from './messages.ts'
import { readPages } from './pages.ts'
import type { RecordSource } from './record-source.ts'
import { restore } from './restore.ts'
import { createSelection } from './selection.ts'
import type { OpenSnapshot } from './snapshots.ts'
import { addFailure, createTally, type Tally } from './tally.ts'

export type VerifyOptions = {
  readonly source: RecordSource
  readonly keys: ArchiveKeys
  readonly ring: KeyRing
  readonly snapshot: OpenSnapshot
  readonly isDataRead: boolean
  /** Pages that an earlier verification of the same run has seen whole (ids as hex): not looked at again. */
  readonly known?: Set<string>
  readonly onProgress?: (tally: Readonly<Tally>) => void
  readonly onFailure?: (failure: Failure) => void
}

export type Verified = { readonly tally: Tally; readonly pages: number; readonly blocks: number }

/** What is damaged is in the tally, by name: files whose blocks are missing, runs of files whose page is. */
export async function verify(options: VerifyOptions): Promise<Verified> {
  const { source, keys, snapshot, known } = options
  const tally = createTally()
  const seen: string[] = []
  let pages = 0
  let blocks = 0
  let lastPath: string | undefined
  let isRangeOpen = false
  const isNeeded = (ordinal: number): boolean => !known?.has((snapshot.pages[ordinal] as Buffer).toString('hex'))
  for await (const read of readPages(source, keys, snapshot.pages, createSelection([]), isNeeded)) {
    if ('lost' in read) {
      tally.damage_count++
      if (!isRangeOpen) tally.lost.push({ after: lastPath, before: undefined, reason: read.lost.message })
      isRangeOpen = true
      continue
    }
    const { page } = read
    if (isRangeOpen) tally.lost.push({ after: undefined, reason: '', ...tally.lost.pop(), before: page.path(0) })
    isRangeOpen = false
    lastPath = page.path(page.count - 1)
    pages++
    blocks += page.blocks.length / ID_BYTES
    const missing = await missingBlocks(source, page.blocks)
    for (let index = 0; index < page.count; index++) {
      tally.files++
      for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) {
        const block = page.extentBlock[extent] as number
        if ((((missing[block >> 3] ?? 0) >> (block & 7)) & 1) === 0) continue
        addFailure(tally, { path: page.path(index), code: 'RECORD_DAMAGED', reason: 'a block of it is missing', isDamage: true }, options.onFailure)
        break
      }
    }
    if (missing.every(bits => bits === 0) && !isSpanning(page)) seen.push(read.id.toString('hex'))
    options.onProgress?.(tally)
  }
  if (!options.isDataRead) {
    for (const id of seen) known?.add(id)
    return { tally, pages, blocks }
  }
  const read = await restore({
    source,
    keys,
    ring: options.ring,
    snapshot,
    paths: [],
    target: undefined,
    onConflict: 'rename',
    isResume: false,
    isPageNeeded: isNeeded,
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    ...(options.onFailure ? { onFailure: options.onFailure } : {}),
  })
  if (read.damage_count === 0) for (const id of seen) known?.add(id)
  return { tally: read, pages, blocks }
}

/** A file goes on from or to another page: such pages are always read together. */
const isSpanning = (page: Page): boolean => {
  const last = page.count - 1
  let stored_bytes = 0
  for (let extent = page.extentStart(last); extent < page.extentEnd(last); extent++) stored_bytes += page.extentLength[extent] as number
  return page.rare(0)?.continuation === true || (((page.mode[last] as number) & TYPE_MASK) === TYPE.file && stored_bytes < storedBytes(page, last))
}

async function missingBlocks(source: RecordSource, ids: Buffer): Promise<Uint8Array> {
  const bitmap = new Uint8Array(Math.ceil(ids.length / ID_BYTES / 8))
  for (let at = 0; at * ID_BYTES < ids.length; at += MISSING_IDS_MAX) {
    bitmap.set(await source.missing(ids.subarray(at * ID_BYTES, (at + MISSING_IDS_MAX) * ID_BYTES)), at / 8)
  }
  return bitmap
}
