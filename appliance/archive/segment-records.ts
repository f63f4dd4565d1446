// The records that the archive itself puts into a segment: the header that begins it, and a mark before each group of
// records that was written and flushed together. Invariants:
//   each names archive, segment and its own offset, and carries the segment's nonce, which no client knows: so nobody can
//   smuggle one in inside of an uploaded record, and none is believed in another place;
//   a group is only written after the flush of the group before it returned, so an intact mark (or footer) proves that
//   everything before it in its segment was durable: a bad record before it is damage, never a torn write.
// Layout: FORMAT.md, "Segment".
import { FORMAT_VERSION, frameRecord, ID_BYTES, KIND, type Kind, RECORD_HEADER_BYTES, type RecordHeader } from '#protocol/record.ts'

export const ARCHIVE_ID_BYTES = 16
export const NONCE_BYTES = 8
/** Header and mark: a record header, and a time of eight bytes as clear part. */
export const SEGMENT_HEADER_BYTES = RECORD_HEADER_BYTES + 8
export const MARK_BYTES = RECORD_HEADER_BYTES + 8
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
export const encodeSegmentHeader = (place: OwnPlace, created_ms: number): Buffer => frameTime(KIND.segmentHeader, place, created_ms)

/**
 * The record before each group of records.
 *
 * @param received_ms  when the group was received, in milliseconds since 1970 by the appliance's clock
 * @returns            MARK_BYTES long
 */
export const encodeMark = (place: OwnPlace, received_ms: number): Buffer => frameTime(KIND.segmentMark, place, received_ms)

function frameTime(kind: Kind, place: OwnPlace, time_ms: number): Buffer {
  const clear = Buffer.alloc(8)
  clear.writeBigUInt64LE(BigInt(time_ms))
  return frameRecord(kind, 0, ownId(place), clear, NOTHING)
}

/** The time in a header's or mark's clear part, in milliseconds since 1970; undefined if it has another shape. */
export function parseTime(header: RecordHeader, clear: Buffer): number | undefined {
  if (header.clear_bytes !== 8 || header.sealed_bytes !== 0 || clear.length !== 8) return undefined
  const time_ms = clear.readBigUInt64LE(0)
  return time_ms <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(time_ms) : undefined
}

/** The CRC-32 in the header of a framed record: names one of the archive's own records among all that ever stood there. */
export const headerCrc = (record: Buffer): number => record.readUInt32LE(RECORD_HEADER_BYTES - 4)

/** The version byte that a segment written by this program carries in each record. */
export const SEGMENT_VERSION = FORMAT_VERSION
