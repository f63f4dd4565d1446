// Sealing and opening of records. Invariants:
//   a record opens only with its own kind, epoch, id, archive and whole clear part: all are under the tag;
//   the id is a keyed hash of kind and plaintext and is checked again after opening, which commits to the key too;
//   nothing is returned before the tag, the lengths, the padding and the id are right.
// In steps, so that hashing, compressing (on the pool) and sealing can overlap for different records:
//   recordId() → (is it stored already?) → pack() → sealRecord().       Layout: FORMAT.md, "Sealed part".
import assert from 'node:assert/strict'
import { createHash, createHmac, randomFillSync, timingSafeEqual } from 'node:crypto'
import { fault as protocolFault } from '#protocol/errors.ts'
import { CLEAR_BYTES_MAX, SEALED_BYTES_MAX } from '#protocol/limits.ts'
import type { ArchiveId } from '#protocol/names.ts'
import { FORMAT_VERSION, KIND, type Kind, parseRecordHeader, RECORD_HEADER_BYTES, type RecordHeader, recordBytes, writeRecordHeader } from '#protocol/record.ts'
import { fault } from './errors.ts'
import { type ArchiveKeys, KEY_BYTES } from './keys.ts'
import { type Packed, packedBytes, parsePacked, piecesOfPacked, plainBytesMax, unpack } from './pack.ts'
import { NONCE_BYTES, TAG_BYTES, xaesOpen, xaesSeal } from './xaes.ts'

const KIND_BYTES: Readonly<Record<number, Buffer>> = Object.fromEntries(Object.values(KIND).map(kind => [kind, Buffer.from([kind])]))

/**
 * The id of a record: HMAC-SHA-256(K_id, kind (one byte) ‖ plaintext).
 *
 * @returns 32 bytes
 */
export function recordId(keys: ArchiveKeys, kind: Kind, plaintext: Uint8Array): Buffer {
  assert(keys.id.length === KEY_BYTES, 'the keys were wiped')
  return createHmac('sha256', keys.id)
    .update(KIND_BYTES[kind] as Buffer)
    .update(plaintext)
    .digest()
}

/** How long the record of a packed plaintext will be, in bytes. */
export const sealedRecordBytes = (clear: Uint8Array, packed: Packed): number =>
  RECORD_HEADER_BYTES + clear.length + NONCE_BYTES + packedBytes(packed) + TAG_BYTES

/**
 * Seals a packed plaintext into one whole record, ready to be sent.
 *
 * @param archive  of the keys; named again so that a mix-up cannot go unseen
 * @param epoch    of the key to seal under, normally keys.newestEpoch
 * @param id       recordId() of the plaintext
 * @param clear    the clear part, at most CLEAR_BYTES_MAX
 * @param record   memory for it, sealedRecordBytes() long; new if left out
 * @throws KEY_EPOCH_UNKNOWN
 */
export function sealRecord(
  keys: ArchiveKeys,
  archive: ArchiveId,
  epoch: number,
  kind: Kind,
  id: Buffer,
  clear: Uint8Array,
  packed: Packed,
  record: Buffer = Buffer.allocUnsafeSlow(sealedRecordBytes(clear, packed)),
): Buffer {
  assert(keys.archive === archive, 'keys of another archive')
  assert(packed.plain_bytes <= plainBytesMax(kind) && clear.length <= CLEAR_BYTES_MAX, 'a part over its limit')
  const sealed_bytes = NONCE_BYTES + packedBytes(packed) + TAG_BYTES
  assert(sealed_bytes <= SEALED_BYTES_MAX, 'the sealed part is over its limit')
  record.set(clear, RECORD_HEADER_BYTES)
  const nonceAt = RECORD_HEADER_BYTES + clear.length
  const nonce = record.subarray(nonceAt, nonceAt + NONCE_BYTES)
  randomFillSync(nonce)
  const associated = associatedData(keys, epoch, kind, id, clear)
  const end = xaesSeal(keys.sealing(epoch), nonce, associated, piecesOfPacked(packed), record, nonceAt + NONCE_BYTES)
  assert(end === record.length)
  const digest = createHash('sha256').update(record.subarray(RECORD_HEADER_BYTES)).digest()
  writeRecordHeader(record, 0, { kind, epoch, clear_bytes: clear.length, sealed_bytes, id, digest })
  return record
}

/** Memory that opening may use, so that none has to be mapped for each record. */
export type OpenInPlace = {
  /** For the plaintext, if it fits. */
  readonly room: Buffer
}

/**
 * Opens one record. The digest of the header is not looked at: the tag covers the same bytes, and more.
 *
 * @param record   exactly one whole record of kind block, page or snapshot
 * @param inPlace  the record is overwritten, and the plaintext lies in it or in `room`
 * @returns        the plaintext, its id checked
 * @throws RECORD_INVALID, RECORD_CUT, RECORD_TOO_LARGE, VERSION_UNSUPPORTED  no such record (protocol)
 * @throws KEY_EPOCH_UNKNOWN     sealed under an epoch that is not in the ring
 * @throws RECORD_DOES_NOT_OPEN  altered, or of another key or archive
 * @throws RECORD_CONTENT_WRONG  the inside, or the id, is not what the header says
 */
export function openRecord(keys: ArchiveKeys, archive: ArchiveId, record: Buffer, inPlace?: OpenInPlace): Buffer {
  assert(keys.archive === archive, 'keys of another archive')
  const header = parseRecordHeader(record)
  if (header === 'cut') throw protocolFault('RECORD_CUT')
  if (header === 'newer') throw protocolFault('VERSION_UNSUPPORTED', { expected: `record format ${FORMAT_VERSION}`, found: `${record[3]}` })
  if (header === 'too-large') throw protocolFault('RECORD_TOO_LARGE')
  if (header === 'not-a-header' || record.length > recordBytes(header) || plainBytesMax(header.kind) === 0) throw protocolFault('RECORD_INVALID')
  if (record.length < recordBytes(header)) throw protocolFault('RECORD_CUT')
  const facts = { id: header.id.toString('hex') }
  const clear = record.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + header.clear_bytes)
  const sealed = record.subarray(RECORD_HEADER_BYTES + header.clear_bytes)
  if (sealed.length < NONCE_BYTES + TAG_BYTES)
    throw fault('RECORD_DOES_NOT_OPEN', { expected: `at least ${NONCE_BYTES + TAG_BYTES} bytes`, found: `${sealed.length}`, facts })
  const associated = associatedData(keys, header.epoch, header.kind, header.id, clear)
  const ciphertext = sealed.subarray(NONCE_BYTES)
  const inside = xaesOpen(keys.sealing(header.epoch), sealed.subarray(0, NONCE_BYTES), associated, ciphertext, inPlace && ciphertext)
  if (!inside) throw fault('RECORD_DOES_NOT_OPEN', { facts })
  return checkedId(keys, header, unpack(parsePacked(inside, plainBytesMax(header.kind)), inPlace?.room))
}

function checkedId(keys: ArchiveKeys, header: RecordHeader, plaintext: Buffer): Buffer {
  const found = recordId(keys, header.kind, plaintext)
  if (!timingSafeEqual(found, header.id))
    throw fault('RECORD_CONTENT_WRONG', { expected: `id ${header.id.toString('hex')}`, found: found.toString('hex'), facts: { id: header.id.toString('hex') } })
  return plaintext
}

// kind (u32 LE) ‖ epoch (u32 LE) ‖ id ‖ archive id ‖ clear part
function associatedData(keys: ArchiveKeys, epoch: number, kind: Kind, id: Buffer, clear: Uint8Array): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(kind, 0)
  head.writeUInt32LE(epoch, 4)
  return Buffer.concat([head, id, keys.archiveBytes, clear])
}
