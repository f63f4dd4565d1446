// The footer that ends a sealed segment: one record that lists all others, so that a reindex need not read them.
// Invariants:
//   it is written after the flush of everything before it, so an intact footer proves that all it lists was durable;
//   it lists every intact record of its segment but headers and marks, and every range that a power cut left torn.
// Its clear part: how many rows of each list (3 × u32) ‖ zero (u32) ‖
//   record rows:   id (32) ‖ offset u32 ‖ length u32 ‖ kind u32
//   snapshot rows: number of the record row u32 ‖ sequence u64 ‖ received, in ms since 1970, u64
//   torn rows:     offset u32 ‖ length u32
//   tail: length of the footer record u32 ‖ 'HFSE'
import { frameRecord, ID_BYTES, KIND, type Kind, RECORD_HEADER_BYTES, type Record_ } from '#protocol/record.ts'
import { type OwnPlace, ownId, parseOwnId, SEGMENT_RECORDS_MAX } from './segment-records.ts'

export const FOOTER_TAIL_BYTES = 8
const FOOTER_TAIL_MAGIC = Buffer.from('HFSE')
const FOOTER_FIXED_BYTES = 16
const RECORD_ROW_BYTES = ID_BYTES + 12
const SNAPSHOT_ROW_BYTES = 20
const TORN_ROW_BYTES = 8
const KINDS: ReadonlySet<number> = new Set(Object.values(KIND))

export type RecordRow = { readonly id: Buffer; readonly kind: Kind; readonly offset: number; readonly length: number }
export type SnapshotRowInFooter = { readonly row: number; readonly sequence: number; readonly received_ms: number }
export type TornRow = { readonly offset: number; readonly length: number }
export type Footer = {
  readonly place: OwnPlace
  readonly records: readonly RecordRow[]
  readonly snapshots: readonly SnapshotRowInFooter[]
  readonly torn: readonly TornRow[]
}

/**
 * The footer record.
 *
 * @throws RangeError for more rows than fit: our own mistake, a segment is sealed before
 */
export function encodeFooter(footer: Footer): Buffer {
  const { records, snapshots, torn } = footer
  if (records.length > SEGMENT_RECORDS_MAX) throw new RangeError('segment was not sealed in time')
  const clear_bytes =
    FOOTER_FIXED_BYTES + records.length * RECORD_ROW_BYTES + snapshots.length * SNAPSHOT_ROW_BYTES + torn.length * TORN_ROW_BYTES + FOOTER_TAIL_BYTES
  const clear = Buffer.alloc(clear_bytes)
  clear.writeUInt32LE(records.length, 0)
  clear.writeUInt32LE(snapshots.length, 4)
  clear.writeUInt32LE(torn.length, 8)
  let at = FOOTER_FIXED_BYTES
  for (const { id, offset, length, kind } of records) {
    clear.set(id, at)
    clear.writeUInt32LE(offset, at + ID_BYTES)
    clear.writeUInt32LE(length, at + ID_BYTES + 4)
    clear.writeUInt32LE(kind, at + ID_BYTES + 8)
    at += RECORD_ROW_BYTES
  }
  for (const { row, sequence, received_ms } of snapshots) {
    clear.writeUInt32LE(row, at)
    clear.writeBigUInt64LE(BigInt(sequence), at + 4)
    clear.writeBigUInt64LE(BigInt(received_ms), at + 12)
    at += SNAPSHOT_ROW_BYTES
  }
  for (const { offset, length } of torn) {
    clear.writeUInt32LE(offset, at)
    clear.writeUInt32LE(length, at + 4)
    at += TORN_ROW_BYTES
  }
  clear.writeUInt32LE(RECORD_HEADER_BYTES + clear_bytes, at)
  clear.set(FOOTER_TAIL_MAGIC, at + 4)
  return frameRecord(KIND.segmentFooter, 0, ownId(footer.place), clear, Buffer.alloc(0))
}

/** The length of the footer record that a segment ends with, in bytes, by the segment's last FOOTER_TAIL_BYTES; undefined if they don't say so. */
export const footerBytes = (tail: Buffer): number | undefined =>
  tail.length === FOOTER_TAIL_BYTES && tail.subarray(4).equals(FOOTER_TAIL_MAGIC) ? tail.readUInt32LE(0) : undefined

/**
 * Takes a footer apart whose digest was checked. Rows are views into the record.
 *
 * @returns undefined if it is no footer, or if its rows do not lie before it, in order and apart from one another
 */
export function parseFooter(record: Record_): Footer | undefined {
  const { header, clear } = record
  if (header.kind !== KIND.segmentFooter || header.sealed_bytes !== 0 || clear.length < FOOTER_FIXED_BYTES + FOOTER_TAIL_BYTES) return undefined
  if (footerBytes(clear.subarray(-FOOTER_TAIL_BYTES)) !== record.bytes.length) return undefined
  const place = parseOwnId(header.id)
  const [records_count, snapshots_count, torn_count] = [clear.readUInt32LE(0), clear.readUInt32LE(4), clear.readUInt32LE(8)]
  if (clear.readUInt32LE(12) !== 0) return undefined
  const snapshots_at = FOOTER_FIXED_BYTES + records_count * RECORD_ROW_BYTES
  const torn_at = snapshots_at + snapshots_count * SNAPSHOT_ROW_BYTES
  if (torn_at + torn_count * TORN_ROW_BYTES + FOOTER_TAIL_BYTES !== clear.length) return undefined
  const records: RecordRow[] = []
  let end = 0
  for (let at = FOOTER_FIXED_BYTES; at < snapshots_at; at += RECORD_ROW_BYTES) {
    const offset = clear.readUInt32LE(at + ID_BYTES)
    const length = clear.readUInt32LE(at + ID_BYTES + 4)
    const kind = clear.readUInt32LE(at + ID_BYTES + 8)
    if (offset < end || length < RECORD_HEADER_BYTES || offset + length > place.offset || !KINDS.has(kind)) return undefined
    records.push({ id: clear.subarray(at, at + ID_BYTES), offset, length, kind: kind as Kind })
    end = offset + length
  }
  const snapshots: SnapshotRowInFooter[] = []
  for (let at = snapshots_at; at < torn_at; at += SNAPSHOT_ROW_BYTES) {
    const row = clear.readUInt32LE(at)
    const sequence = clear.readBigUInt64LE(at + 4)
    const received_ms = clear.readBigUInt64LE(at + 12)
    if (records[row]?.kind !== KIND.snapshot || sequence > MAX_SAFE || received_ms > MAX_SAFE) return undefined
    snapshots.push({ row, sequence: Number(sequence), received_ms: Number(received_ms) })
  }
  const torn: TornRow[] = []
  for (let i = 0; i < torn_count; i++) {
    const at = torn_at + i * TORN_ROW_BYTES
    torn.push({ offset: clear.readUInt32LE(at), length: clear.readUInt32LE(at + 4) })
  }
  return { place, records, snapshots, torn }
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER)
