// Brings the index up to date with the segments of an archive: the tail that it lags behind, all of it, or holes in it.
import { join } from 'node:path'
import { parseRecordHeader, RECORD_HEADER_BYTES } from '#protocol/record.ts'
import { type ArchiveIndex, type ArchiveRow, type Entry, findRows, newOrdinal, putEntries, putSnapshots, type SnapshotEntry, write } from './archive-index.ts'
import { type Disk, systemCode } from './disk.ts'
import type { IndexOperation } from './index-database.ts'
import type { Damage } from './location.ts'
import type { SegmentContents } from './segment-contents.ts'
import { segmentName } from './segment-records.ts'

/** Entries that are gathered from segments before they are written. */
const GATHER_ENTRIES = 8192
const NOT_INDEXED = { segment: 0, offset: 0, anchor: { offset: 0, crc: 0 }, records: 0, bytes: 0, head: undefined, isDamaged: false }

/** The row of an archive of which nothing is indexed, under a new ordinal. */
export const emptyRow = (index: ArchiveIndex): ArchiveRow => ({ ordinal: newOrdinal(index), ...NOT_INDEXED })

/**
 * Whether what the index says of an archive is about these segments: the segment that it ends in is there, is long enough,
 * and has at the anchor the very record that the index remembers. An index that runs ahead of the segments, because older
 * ones were put back, or that belongs to others, is found out by this.
 *
 * @throws errors of the disk
 */
export async function isRowTrue(disk: Disk, dir: string, row: ArchiveRow): Promise<boolean> {
  if (row.segment === 0) return true
  try {
    const file = await disk.open(join(dir, segmentName(row.segment)), 'read')
    try {
      if ((await file.size()) < row.offset) return false
      const head = Buffer.alloc(RECORD_HEADER_BYTES)
      await file.read(head, row.anchor.offset)
      return typeof parseRecordHeader(head) !== 'string' && head.readUInt32LE(RECORD_HEADER_BYTES - 4) === row.anchor.crc
    } finally {
      await file.close()
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
}

/**
 * Indexes segments from where `row` ends.
 *
 * @param segments  contents of the segment in which the row ends and of all after it, in order
 * @returns         the row after them; found by look-ups when it returns
 * @throws          errors of the disk and of the index
 */
export async function indexSegments(
  index: ArchiveIndex,
  archive: Buffer,
  row: ArchiveRow,
  segments: AsyncIterable<SegmentContents>,
  onDamage: (damage: Damage) => void,
): Promise<ArchiveRow> {
  let entries: Entry[] = []
  let snapshots: SnapshotEntry[] = []
  let now = row
  for await (const contents of segments) {
    contents.damage.forEach(onDamage)
    if (contents.damage.length > 0) now = { ...now, isDamaged: true }
    const from = contents.segment === row.segment ? row.offset : 0
    const fresh = from === 0 ? contents.entries : contents.entries.filter(({ offset }) => offset >= from)
    entries.push(...fresh)
    snapshots.push(...contents.snapshots)
    for (const { id, sequence } of contents.snapshots) if (sequence > (now.head?.sequence ?? 0)) now = { ...now, head: { id, sequence } }
    now = { ...now, records: now.records + fresh.length, bytes: now.bytes + Math.max(0, contents.bytes - from) }
    if (contents.anchor) now = { ...now, segment: contents.segment, offset: contents.bytes, anchor: contents.anchor }
    if (entries.length >= GATHER_ENTRIES) {
      await write(index, { archive, row: now, entries, snapshots })
      entries = []
      snapshots = []
    }
  }
  if (now !== row || row.segment === 0) await write(index, { archive, row: now, entries, snapshots })
  return now
}

/**
 * Puts back rows that the index has lost; those that it has stay as they are, also of copies that are known to be damaged,
 * and so does how far it reaches.
 *
 * @param segments  the newest first, so that of two copies of a record the newer is found
 * @returns         how many were put back
 */
export async function fillHoles(index: ArchiveIndex, archive: Buffer, ordinal: number, segments: AsyncIterable<SegmentContents>): Promise<number> {
  let filled = 0
  for await (const { entries, snapshots } of segments) {
    const known = await findRows(index, archive, ordinal, Buffer.concat(entries.map(({ id }) => id)))
    const lost = entries.filter((_, i) => known[i] === undefined)
    if (lost.length === 0 && snapshots.length === 0) continue
    const operations: IndexOperation[] = []
    putEntries(operations, archive, ordinal, lost)
    putSnapshots(operations, archive, ordinal, snapshots)
    await index.database.batch(operations)
    filled += lost.length
  }
  return filled
}
