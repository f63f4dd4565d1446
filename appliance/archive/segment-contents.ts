// What a segment holds, from its footer where it is sealed, else by reading it through.
import { join } from 'node:path'
import { KIND } from '#protocol/record.ts'
import type { Entry, SnapshotEntry } from './archive-index.ts'
import { type Disk, type DiskFile, systemCode } from './disk.ts'
import type { Damage } from './location.ts'
import { type Anchor, readFooter, type SegmentScan, scanSegment } from './scan-segment.ts'
import type { RecordRow } from './segment-footer.ts'
import { segmentName, segmentNumber } from './segment-records.ts'

export type SegmentContents = {
  readonly segment: number
  readonly entries: readonly Entry[]
  readonly snapshots: readonly SnapshotEntry[]
  readonly damage: readonly Damage[]
  /** Records that stood here and are not intact, as far as their ids can still be told. */
  readonly damaged: readonly Entry[]
  /** The file's length, in bytes. */
  readonly bytes: number
  readonly anchor: Anchor | undefined
}

/** Numbers of the segments in a directory, ascending; other files are left alone. */
export async function listSegments(disk: Disk, dir: string): Promise<number[]> {
  const numbers = (await disk.list(dir)).map(segmentNumber).filter(number => number !== undefined)
  return numbers.sort((a, b) => a - b)
}

/**
 * Lists a segment that is not appended to.
 *
 * @param trustFooter  a sealed segment is not read through: what its footer lists may have been damaged since
 * @returns            its intact records; damage, if the footer or anything read through is damaged
 * @throws             errors of the disk; a file that is gone counts as damage
 */
export async function listSegment(disk: Disk, dir: string, place: { archive: Buffer; segment: number }, trustFooter: boolean): Promise<SegmentContents> {
  let file: DiskFile
  try {
    file = await disk.open(join(dir, segmentName(place.segment)), 'read')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return missingSegment(place.segment)
    throw error
  }
  try {
    const bytes = await file.size()
    const footer = await readFooter(file, place)
    if (footer && trustFooter) {
      const entries = footer.records.map(({ id, offset, length }) => ({ id, offset, length, segment: place.segment }))
      const snapshots = footer.snapshots.map(({ row, sequence, received_ms }) => ({ id: (footer.records[row] as { id: Buffer }).id, sequence, received_ms }))
      return { segment: place.segment, entries, snapshots, damage: [], damaged: [], bytes, anchor: footer.anchor }
    }
    const scan = await scanSegment(file, { ...place, isNewest: false, durable_bytes: 0, verify_from: 0 })
    const torn = footer?.torn ?? []
    const damage = scan.damage.filter(range => !torn.some(row => row.offset <= range.offset && range.offset + range.length <= row.offset + row.length))
    if (!footer && damage.length === 0) damage.push({ segment: place.segment, offset: bytes, length: 0, reason: 'footer' })
    const contents = contentsOfScan(place.segment, scan)
    return { ...contents, damage, damaged: [...contents.damaged, ...notIntact(place.segment, footer?.records ?? [], scan)], bytes }
  } finally {
    await file.close()
  }
}

/** What a scan found, as contents of the segment up to the last intact record. */
export function contentsOfScan(segment: number, scan: SegmentScan): SegmentContents {
  const entries = scan.records.map(({ header, offset, length }) => ({ id: header.id, segment, offset, length }))
  const snapshots: SnapshotEntry[] = []
  for (const { header, sequence, received_ms } of scan.records) {
    if (header.kind === KIND.snapshot && sequence !== undefined) snapshots.push({ id: header.id, sequence, received_ms })
  }
  const damaged = scan.damage.flatMap(({ id, offset, length }) => (id === undefined ? [] : [{ id: Buffer.from(id, 'hex'), segment, offset, length }]))
  return { segment, entries, snapshots, damage: scan.damage, damaged, bytes: scan.end, anchor: scan.anchor }
}

/** What a segment's footer or writer lists, and a scan did not find. */
export function notIntact(segment: number, rows: readonly RecordRow[], scan: SegmentScan): Entry[] {
  const intact = new Set(scan.records.map(({ offset }) => offset))
  return rows.filter(({ offset }) => !intact.has(offset)).map(({ id, offset, length }) => ({ id, segment, offset, length }))
}

/** The contents of a segment that should be there and is not. */
export const missingSegment = (segment: number): SegmentContents => ({
  segment,
  entries: [],
  snapshots: [],
  damage: [{ segment, offset: 0, length: 0, reason: 'segment' }],
  damaged: [],
  bytes: 0,
  anchor: undefined,
})
