// A record is the unit on the wire and on disk, byte for byte the same: header, clear part, sealed part.
// The header is fixed and little-endian, and carries its own CRC-32, so that a reader can find the next record
// after damage; the digest covers the rest, so that anybody without a key can check a record.
//
//   offset size
//        0    4  magic: 'H' 'F' 'R', then the version of the format (1)
//        4    1  kind
//        5    3  zero
//        8    4  key epoch
//       12    4  length of the clear part, in bytes
//       16    4  length of the sealed part, in bytes
//       20   32  id
//       52   32  SHA-256 of clear part ‖ sealed part
//       84    4  CRC-32 (IEEE 802.3) of bytes 0 to 83
//       88       clear part, then sealed part
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { fault } from './errors.ts'
import { CLEAR_BYTES_MAX, SEALED_BYTES_MAX } from './limits.ts'

export const RECORD_HEADER_BYTES = 88
export const ID_BYTES = 32
export const DIGEST_BYTES = 32
export const FORMAT_VERSION = 1
export const RECORD_BYTES_MAX = RECORD_HEADER_BYTES + CLEAR_BYTES_MAX + SEALED_BYTES_MAX

/** 16 and above are made by the archive itself and never cross the wire. */
export const KIND = { block: 1, page: 2, snapshot: 3, tombstone: 4, custody: 5, segmentHeader: 16, segmentFooter: 17, segmentMark: 18 } as const
export type Kind = (typeof KIND)[keyof typeof KIND]
const KINDS: ReadonlySet<number> = new Set(Object.values(KIND))

export type RecordHeader = {
  readonly kind: Kind
  readonly epoch: number
  readonly clear_bytes: number
  readonly sealed_bytes: number
  readonly id: Buffer
  readonly digest: Buffer
}

/** The whole length of the record that a header begins, in bytes. */
export const recordBytes = (header: { clear_bytes: number; sealed_bytes: number }): number => RECORD_HEADER_BYTES + header.clear_bytes + header.sealed_bytes

/**
 * Writes a record's header into `target` at `offset` (88 bytes). The parts stand behind it already or follow later.
 *
 * @throws RangeError for a part over its limit: our own mistake, never the world's
 */
export function writeRecordHeader(target: Buffer, offset: number, header: RecordHeader): void {
  if (header.clear_bytes > CLEAR_BYTES_MAX || header.sealed_bytes > SEALED_BYTES_MAX) throw new RangeError('record part over its limit')
  target.writeUInt32BE(0x48465200 | FORMAT_VERSION, offset)
  target.writeUInt32LE(header.kind, offset + 4)
  target.writeUInt32LE(header.epoch, offset + 8)
  target.writeUInt32LE(header.clear_bytes, offset + 12)
  target.writeUInt32LE(header.sealed_bytes, offset + 16)
  target.set(header.id, offset + 20)
  target.set(header.digest, offset + 52)
  target.writeUInt32LE(crc32(target.subarray(offset, offset + 84)), offset + 84)
}

/**
 * Frames a record: header, clear part and sealed part in one new buffer.
 *
 * @returns the record, recordBytes() long
 */
export function frameRecord(kind: Kind, epoch: number, id: Buffer, clear: Uint8Array, sealed: Uint8Array): Buffer {
  const record = Buffer.allocUnsafeSlow(RECORD_HEADER_BYTES + clear.length + sealed.length)
  record.set(clear, RECORD_HEADER_BYTES)
  record.set(sealed, RECORD_HEADER_BYTES + clear.length)
  const digest = digestOf(record.subarray(RECORD_HEADER_BYTES))
  writeRecordHeader(record, 0, { kind, epoch, clear_bytes: clear.length, sealed_bytes: sealed.length, id, digest })
  return record
}

/** SHA-256 of clear part ‖ sealed part, which lie behind one another in a record. */
export const digestOf = (parts: Uint8Array): Buffer => createHash('sha256').update(parts).digest()

/**
 * Reads a header without trusting it. Says only whether one is there; limits and kind are checked too.
 *
 * @returns the header (its id and digest are views into `source`), or why there is none:
 *          'cut' (fewer than 88 bytes), 'not-a-header' (magic, CRC, kind or reserved bytes), 'newer' (version), 'too-large'
 */
export function parseRecordHeader(source: Buffer, offset = 0): RecordHeader | 'cut' | 'not-a-header' | 'newer' | 'too-large' {
  if (source.length - offset < RECORD_HEADER_BYTES) return 'cut'
  const magic = source.readUInt32BE(offset)
  if (magic >>> 8 !== 0x484652) return 'not-a-header'
  if (crc32(source.subarray(offset, offset + 84)) !== source.readUInt32LE(offset + 84)) return 'not-a-header'
  if ((magic & 0xff) !== FORMAT_VERSION) return 'newer'
  const kind = source.readUInt32LE(offset + 4)
  if (!KINDS.has(kind)) return 'not-a-header'
  const clear_bytes = source.readUInt32LE(offset + 12)
  const sealed_bytes = source.readUInt32LE(offset + 16)
  if (clear_bytes > CLEAR_BYTES_MAX || sealed_bytes > SEALED_BYTES_MAX) return 'too-large'
  return {
    kind: kind as Kind,
    epoch: source.readUInt32LE(offset + 8),
    clear_bytes,
    sealed_bytes,
    id: source.subarray(offset + 20, offset + 52),
    digest: source.subarray(offset + 52, offset + 84),
  }
}

/** A record taken apart; all buffers are views into the source. */
export type Record_ = { readonly header: RecordHeader; readonly clear: Buffer; readonly sealed: Buffer; readonly bytes: Buffer }

/**
 * Takes apart the record that begins at `offset` and checks its digest.
 *
 * @throws RECORD_INVALID  no well-formed header; RECORD_CUT  the source ends inside the record;
 *         RECORD_TOO_LARGE  a part over its limit; RECORD_ALTERED  the digest does not match; VERSION_UNSUPPORTED  newer format
 */
export function parseRecord(source: Buffer, offset = 0): Record_ {
  const header = parseRecordHeader(source, offset)
  if (header === 'cut') throw fault('RECORD_CUT')
  if (header === 'newer') throw fault('VERSION_UNSUPPORTED', { expected: `record format ${FORMAT_VERSION}`, found: `${source[offset + 3]}` })
  if (header === 'too-large') throw fault('RECORD_TOO_LARGE')
  if (header === 'not-a-header') throw fault('RECORD_INVALID')
  const end = offset + recordBytes(header)
  if (source.length < end) throw fault('RECORD_CUT')
  const parts = source.subarray(offset + RECORD_HEADER_BYTES, end)
  if (!digestOf(parts).equals(header.digest)) throw fault('RECORD_ALTERED', { facts: { id: header.id.toString('hex') } })
  return { header, clear: parts.subarray(0, header.clear_bytes), sealed: parts.subarray(header.clear_bytes), bytes: source.subarray(offset, end) }
}
