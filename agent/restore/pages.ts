// Pages of a snapshot, read as a stream: a few at a time are in memory, however many there are. A page that is missing or
// damaged is told of and passed over, never guessed.
import type { ArchiveKeys } from '#format/keys.ts'
import { decodePage, type Page } from '#format/page.ts'
import { comparePaths } from '#format/path-order.ts'
import { type OpenInPlace, openRecord } from '#format/seal.ts'
import { Fault } from '#protocol/fault.ts'
import { KIND, parseRecordHeader, RECORD_HEADER_BYTES } from '#protocol/record.ts'
import { fault } from './errors.ts'
import { createFetcher } from './fetch-blocks.ts'
import type { RecordSource } from './record-source.ts'
import type { Selection } from './selection.ts'

/** Plaintext of pages that are asked for at once, in bytes, going by the page before; twice as much may be in memory. */
const PAGES_BYTES_AIM = 1024 * 1024
const PAGES_AT_ONCE_MAX = 8
const NO_ROOM = Buffer.alloc(0)

export type OpenPage = { readonly ordinal: number; readonly id: Buffer; readonly page: Page; readonly plain: Buffer; readonly clear: Buffer }
export type LostPage = { readonly ordinal: number; readonly id: Buffer; readonly lost: Fault }
export type ReadPage = OpenPage | LostPage

/**
 * Opens a record that must be of one kind and have one id: what a source hands over is not trusted to be what was asked for.
 *
 * @param inPlace  see openRecord
 * @throws the faults of openRecord, and RECORD_DAMAGED for another record
 */
export function openExpected(keys: ArchiveKeys, kind: number, id: Buffer, record: Buffer, inPlace?: OpenInPlace): { plain: Buffer; clear: Buffer } {
  const header = parseRecordHeader(record)
  if (typeof header === 'string' || header.kind !== kind || !header.id.equals(id)) {
    throw fault('RECORD_DAMAGED', { expected: `the record ${id.toString('hex')}`, found: 'another one' })
  }
  const plain = openRecord(keys, keys.archive, record, inPlace)
  // A copy: the memory of the record is used again.
  return { plain, clear: Buffer.from(record.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + header.clear_bytes)) }
}

/** Reads some pages at once; the answer is in the order of `ordinals`. */
async function readSome(source: RecordSource, keys: ArchiveKeys, ids: readonly Buffer[], ordinals: readonly number[]): Promise<ReadPage[]> {
  const found = new Map<string, { page: Page; plain: Buffer; clear: Buffer } | { lost: Fault }>()
  const names = ordinals.map(ordinal => (ids[ordinal] as Buffer).toString('latin1'))
  await createFetcher(source).fetch([...new Set(names)], {
    onRecord: (name, record) => {
      try {
        const opened = openExpected(keys, KIND.page, Buffer.from(name, 'latin1'), record, { room: NO_ROOM })
        // What was stored without compression lies in the record, whose memory is used again.
        const plain = opened.plain.buffer === record.buffer ? Buffer.from(opened.plain) : opened.plain
        found.set(name, { page: decodePage(plain, opened.clear), plain, clear: opened.clear })
      } catch (error) {
        if (!(error instanceof Fault)) throw error
        found.set(name, { lost: error })
      }
    },
    onLost: (name, lost) => void found.set(name, { lost }),
  })
  return ordinals.map((ordinal, i) => ({ ordinal, id: ids[ordinal] as Buffer, ...(found.get(names[i] as string) ?? { lost: fault('RECORD_DAMAGED') }) }))
}

/** Reads one page; what is wrong with it is thrown. */
export async function readPage(source: RecordSource, keys: ArchiveKeys, id: Buffer): Promise<OpenPage> {
  const [read] = await readSome(source, keys, [id], [0])
  if (!read || 'lost' in read) throw read?.lost ?? fault('RECORD_DAMAGED')
  return read
}

/**
 * Reads the pages that a selection may need, in path order, the next few while the last few are used.
 *
 * @param isNeeded  false for pages that need not be read at all
 */
export async function* readPages(
  source: RecordSource,
  keys: ArchiveKeys,
  ids: readonly Buffer[],
  selection: Selection,
  isNeeded: (ordinal: number) => boolean = () => true,
): AsyncGenerator<ReadPage> {
  let next = 0
  let page_bytes = PAGES_BYTES_AIM
  for (const range of selection.isEverything ? [undefined] : selection.wanted) {
    if (range !== undefined) next = Math.max(next, await firstPageOf(source, keys, ids, range, next))
    const isBehindRange = (read: ReadPage): boolean => range !== undefined && !('lost' in read) && isBehind(read, range)
    const take = (): number[] => {
      const ordinals: number[] = []
      // A range is read with care: most of what somebody wants back lies in one page.
      const count = range === undefined ? Math.max(1, Math.min(PAGES_AT_ONCE_MAX, Math.floor(PAGES_BYTES_AIM / page_bytes))) : 1
      for (; next < ids.length && ordinals.length < count; next++) if (isNeeded(next)) ordinals.push(next)
      return ordinals
    }
    let ahead = readSome(source, keys, ids, take())
    let isEnd = false
    while (!isEnd) {
      const pages = await ahead
      if (pages.length === 0) break
      for (const read of pages) if (!('lost' in read)) page_bytes = Math.max(1, read.plain.length)
      const stop = pages.findIndex(isBehindRange)
      if (stop >= 0) {
        next = (pages[stop] as ReadPage).ordinal
        pages.length = stop
        isEnd = true
      } else {
        ahead = readSome(source, keys, ids, take())
        ahead.catch(() => {})
      }
      yield* pages
    }
  }
}

const isBehind = ({ page }: OpenPage, top: string): boolean => {
  const first = page.count === 0 ? '' : page.path(0)
  return comparePaths(first, top) > 0 && !first.startsWith(`${top}/`)
}

/** The last page that begins at or before a path: the first in which it can be. Pages that can't be read are stepped over. */
async function firstPageOf(source: RecordSource, keys: ArchiveKeys, ids: readonly Buffer[], path: string, from: number): Promise<number> {
  let low = from
  let high = ids.length
  while (low + 1 < high) {
    const middle = (low + high) >>> 1
    let probe = middle
    let read: ReadPage | undefined
    for (; probe < high; probe++) {
      read = (await readSome(source, keys, ids, [probe]))[0]
      if (read && !('lost' in read) && read.page.count > 0) break
    }
    if (!read || 'lost' in read || probe >= high || comparePaths(read.page.path(0), path) > 0) high = middle
    else low = probe
  }
  // A file that goes on over several pages begins in an earlier one with the same path.
  while (low > from) {
    const read = (await readSome(source, keys, ids, [low]))[0]
    if (!read || 'lost' in read || read.page.rare(0)?.continuation !== true || read.page.path(0) !== path) break
    low--
  }
  return low
}
