// The clear part of a record: what the storage node may read, as opaque ids, so that it can refuse an incomplete
// snapshot and collect garbage without a key. It is bound to the sealed part: an altered list does not open.
//   block: empty · page: the ids of the blocks it needs · custody, tombstone: empty
//   snapshot: sequence (u64, from 1) ‖ id of the previous snapshot (32 zero bytes for the first) ‖ ids of its pages
import { fault } from './errors.ts'
import { ID_BYTES } from './record.ts'

export type SnapshotClear = {
  /** 1 for an archive's first snapshot, then one more each time. */
  readonly sequence: number
  /** Id of the snapshot before, undefined for the first. */
  readonly previous: Buffer | undefined
  readonly pages: readonly Buffer[]
}

const SNAPSHOT_FIXED_BYTES = 8 + ID_BYTES
const NO_ID = Buffer.alloc(ID_BYTES)

/** Joins ids (32 bytes each) into one buffer, in order. */
export const joinIds = (ids: readonly Buffer[]): Buffer => Buffer.concat(ids, ids.length * ID_BYTES)

/**
 * Cuts a buffer of joined ids into views, 32 bytes each.
 *
 * @throws RECORD_INVALID if the length is no multiple of 32
 */
export function splitIds(joined: Buffer): Buffer[] {
  if (joined.length % ID_BYTES !== 0) throw fault('RECORD_INVALID', { expected: 'a list of 32-byte ids', found: `${joined.length} bytes` })
  const ids: Buffer[] = []
  for (let at = 0; at < joined.length; at += ID_BYTES) ids.push(joined.subarray(at, at + ID_BYTES))
  return ids
}

/** The clear part of a snapshot record. */
export function encodeSnapshotClear(clear: SnapshotClear): Buffer {
  const head = Buffer.alloc(SNAPSHOT_FIXED_BYTES)
  head.writeBigUInt64LE(BigInt(clear.sequence), 0)
  if (clear.previous) head.set(clear.previous, 8)
  return Buffer.concat([head, ...clear.pages])
}

/** @throws RECORD_INVALID if it is no clear part of a snapshot */
export function parseSnapshotClear(clear: Buffer): SnapshotClear {
  if (clear.length < SNAPSHOT_FIXED_BYTES) throw fault('RECORD_INVALID', { expected: 'the clear part of a snapshot', found: `${clear.length} bytes` })
  const sequence = clear.readBigUInt64LE(0)
  if (sequence < 1n || sequence > BigInt(Number.MAX_SAFE_INTEGER)) throw fault('RECORD_INVALID', { expected: 'a sequence of 1 or more', found: `${sequence}` })
  const previous = clear.subarray(8, SNAPSHOT_FIXED_BYTES)
  return { sequence: Number(sequence), previous: previous.equals(NO_ID) ? undefined : previous, pages: splitIds(clear.subarray(SNAPSHOT_FIXED_BYTES)) }
}
