// The records that the archive itself puts into a segment: the header that begins it, and a mark before each group of
// records that was written and flushed together. Invariants:
//   each names archive, segment and its own offset, and carries the segment's nonce, which no client knows: so nobody can
//   smuggle one in inside of an uploaded record, and none is believed in another place;
//   a mark says up to where the segment had been flushed when it was written: so an intact mark (or footer) proves that
//   everything before that place was durable once, and a bad record there is damage, never a torn write.
// Layout: FORMAT-archive.md, "Segment".
import { frameRecord, ID_BYTES, KIND, type Kind, RECORD_HEADER_BYTES, type RecordHeader } from '#protocol/record.ts'

export const ARCHIVE_ID_BYTES = 16
export const NONCE_BYTES = 8
const HEADER_CLEAR_BYTES = 8
const MARK_CLEAR_BYTES = 12
/** Header: a record header, and a time as clear part. */
export const SEGMENT_HEADER_BYTES = RECORD_HEADER_BYTES + HEADER_CLEAR_BYTES
/** Mark: a record header, and a time and an offset as clear part. */
export const MARK_BYTES = RECORD_HEADER_BYTES + MARK_CLEAR_BYTES
/** A segment is sealed at so many records even if it is short, so that its footer fits into a record. */
export const SEGMENT_RECORDS_MAX = 32_768

const NOTHING = Buffer.alloc(0)
const SEGMENT_NAME = /^(\d{8,10})\.segment$/
const SEGMENT_NUMBER_MAX = 0xffff_ffff

/** The name of a segment's file; numbers begin with 1. */
export const segmentName = (segment: number): string => `${segment.toString().padStart(8, '0')}.segment`

/** The number in the name of a segment's file; undefined if it is the name of something else. */
export function segmentNumber(name: string): number | undefined {
  const number = Number(SEGMENT_NAME.exec(name)?.[1] ?? 0)
  return number >= 1 && number <= SEGMENT_NUMBER_MAX && segmentName(number) === name ? number : undefined
}

/** Where one of the archive's own records stands; its id says the same. */
export type OwnPlace = { readonly archive: Buffer; readonly segment: number; readonly offset: number; readonly nonce: Buffer }

/** The id of one of the archive's own records: archive (16) ‖ segment (u32) ‖ offset (u32) ‖ nonce (8). */
export function ownId(place: OwnPlace): Buffer {
  const id = Buffer.alloc(ID_BYTES)
  id.set(place.archive)
  id.writeUInt32LE(place.segment, 16)
  id.writeUInt32LE(place.offset, 20)
  id.set(place.nonce, 24)
  return id
}

/** What the id of one of the archive's own records says; whether it is true is for the reader to check. */
export const parseOwnId = (id: Buffer): OwnPlace => ({
  archive: id.subarray(0, ARCHIVE_ID_BYTES),
  segment: id.readUInt32LE(16),
  offset: id.readUInt32LE(20),
  nonce: id.subarray(24, ID_BYTES),
})

/** Whether records of this kind are made by the archive itself. */
export const isOwnKind = (kind: Kind): boolean => kind === KIND.segmentHeader || kind === KIND.segmentMark || kind === KIND.segmentFooter

/**
 * The record that begins a segment.
 *
 * @param created_ms  milliseconds since 1970 by the appliance's clock
 * @returns           SEGMENT_HEADER_BYTES long
 */
export function encodeSegmentHeader(place: OwnPlace, created_ms: number): Buffer {
  const clear = Buffer.alloc(HEADER_CLEAR_BYTES)
  clear.writeBigUInt64LE(BigInt(created_ms))
  return frameRecord(KIND.segmentHeader, 0, ownId(place), clear, NOTHING)
}

export type Mark = {
  /** When the records behind it were received, in milliseconds since 1970 by the appliance's clock. */
  readonly received_ms: number
  /** Everything before this had been flushed when the mark was written: bytes from the start of the segment. */
  readonly durable_bytes: number
}

/**
 * The record before each group of records.
 *
 * @returns MARK_BYTES long
 */
export function encodeMark(place: OwnPlace, { received_ms, durable_bytes }: Mark): Buffer {
  const clear = Buffer.alloc(MARK_CLEAR_BYTES)
  clear.writeBigUInt64LE(BigInt(received_ms))
  clear.writeUInt32LE(durable_bytes, 8)
  return frameRecord(KIND.segmentMark, 0, ownId(place), clear, NOTHING)
}

/** When a segment was made, in milliseconds since 1970, by the clear part of its header; undefined if it has another shape. */
export const parseSegmentHeader = (header: RecordHeader, clear: Buffer): number | undefined =>
  header.kind === KIND.segmentHeader && header.sealed_bytes === 0 && clear.length === HEADER_CLEAR_BYTES ? parseTime(clear) : undefined

/** What a mark says in its clear part; undefined if it has another shape, or claims more than stands before it. */
export function parseMark(header: RecordHeader, clear: Buffer): Mark | undefined {
  if (header.kind !== KIND.segmentMark || header.sealed_bytes !== 0 || clear.length !== MARK_CLEAR_BYTES) return undefined
  const received_ms = parseTime(clear)
  const durable_bytes = clear.readUInt32LE(8)
  return received_ms === undefined || durable_bytes > parseOwnId(header.id).offset ? undefined : { received_ms, durable_bytes }
}

function parseTime(clear: Buffer): number | undefined {
  const time_ms = clear.readBigUInt64LE(0)
  return time_ms <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(time_ms) : undefined
}

/** The CRC-32 in the header of a framed record: names one of the archive's own records among all that ever stood there. */
export const headerCrc = (record: Buffer): number => record.readUInt32LE(RECORD_HEADER_BYTES - 4)
