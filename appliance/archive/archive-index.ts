// The index: finds a record of any archive in the store. Invariants:
//   it can be deleted, or replaced by an older copy, at any time: the segments alone say what is stored;
//   it may lag behind the segments, never run ahead: rows are only written after the flush of their records returned;
//   each row carries a CRC-32 over archive, key and value, because LevelDB never verifies: a row that fails it is absent.
// All numbers in keys are big-endian, in values little-endian.
//   ordinal u32 (from 1) ‖ id 32                     → segment u32 ‖ offset u32 ‖ length u32 ‖ crc
//                                                      (length 0: the copy there is known to be damaged, and counts as missing)
//   0 u32 ‖ 'a' ‖ archive 16                         → the archive's row (ArchiveRow) ‖ crc
//   0 u32 ‖ 's' ‖ ordinal u32 ‖ sequence u64         → id 32 ‖ received, in ms since 1970, u64 ‖ crc
// An archive that is indexed anew gets a new ordinal: so rows of before are never seen, even if they are not removed yet.
import { crc32 } from 'node:zlib'
import { ID_BYTES } from '#protocol/record.ts'
import type { IndexDatabase, IndexOperation, KeyRange } from './index-database.ts'
import type { Location } from './location.ts'
import type { Anchor } from './scan-segment.ts'
import { ARCHIVE_ID_BYTES } from './segment-records.ts'

export type SnapshotEntry = { readonly id: Buffer; readonly sequence: number; readonly received_ms: number }
export type Entry = Location & { readonly id: Buffer }
/** How far an archive is indexed, and what lies up to there. */
export type ArchiveRow = {
  readonly ordinal: number
  /** Everything up to here is indexed: a segment, and bytes from its start. Segment 0: nothing is. */
  readonly segment: number
  readonly offset: number
  /** One of the archive's own records in that segment: if it is not there, this row speaks of other segments. */
  readonly anchor: Anchor
  readonly records: number
  readonly bytes: number
  readonly head: { readonly id: Buffer; readonly sequence: number } | undefined
  /** Damage was found since all of it was last read through: pages of before may need what is gone. */
  readonly isDamaged: boolean
}
export type Update = { readonly archive: Buffer; readonly row: ArchiveRow; readonly entries: readonly Entry[]; readonly snapshots: readonly SnapshotEntry[] }

type Waiting = { readonly update: Update; readonly resolve: () => void; readonly reject: (error: unknown) => void }
export type ArchiveIndex = {
  readonly database: IndexDatabase
  readonly waiting: Waiting[]
  ordinal_max: number
  /** The batches that are being written, if any are. */
  draining: Promise<void> | undefined
  /** The first error of a write: rows may be lost from then on, so nothing more is written until the store is opened again. */
  failure: { readonly error: unknown } | undefined
}

const KEY_BYTES = 4 + ID_BYTES
const VALUE_BYTES = 16
const ROW_BYTES = 4 + 8 + 8 + 8 + 8 + 8 + ID_BYTES + 4 + 4
const SNAPSHOT_BYTES = ID_BYTES + 8 + 4
/** Entries of one batch, and of one look-up. */
const BATCH_ENTRIES_MAX = 8192
const FIND_IDS_MAX = 2048
const NO_ID = Buffer.alloc(ID_BYTES)

/** The index over an open database; reads the archives' rows to learn which ordinals are in use. */
export async function openIndex(database: IndexDatabase): Promise<ArchiveIndex> {
  let ordinal_max = (await database.lastKey())?.readUInt32BE(0) ?? 0
  for await (const [key, value] of database.entries(metaRange('a'))) {
    if (key.length === 5 + ARCHIVE_ID_BYTES && value.length === ROW_BYTES) ordinal_max = Math.max(ordinal_max, value.readUInt32LE(0))
  }
  return { database, waiting: [], ordinal_max, draining: undefined, failure: undefined }
}

/** An ordinal that no archive has or had. */
export function newOrdinal(index: ArchiveIndex): number {
  // A flipped byte may have made the last key look like the highest ordinal of all; then the count goes on below it.
  index.ordinal_max = index.ordinal_max < 0xf000_0000 ? index.ordinal_max + 1 : 1 + Math.floor(Math.random() * 0x7000_0000)
  return index.ordinal_max
}

/** How far an archive is indexed; undefined if that is not known, or does not pass its check. */
export async function readRow(index: ArchiveIndex, archive: Buffer): Promise<ArchiveRow | undefined> {
  const key = rowKey(archive)
  const [value] = await index.database.getMany([key])
  if (value?.length !== ROW_BYTES || checksum(archive, key, value) !== value.readUInt32LE(ROW_BYTES - 4)) return undefined
  const sequence = Number(value.readBigUInt64LE(36))
  return {
    ordinal: value.readUInt32LE(0),
    segment: value.readUInt32LE(4),
    offset: value.readUInt32LE(8),
    anchor: { offset: value.readUInt32LE(12), crc: value.readUInt32LE(16) },
    records: Number(value.readBigUInt64LE(20)),
    bytes: Number(value.readBigUInt64LE(28)),
    head: sequence === 0 ? undefined : { id: Buffer.from(value.subarray(44, 44 + ID_BYTES)), sequence },
    isDamaged: value.readUInt32LE(44 + ID_BYTES) !== 0,
  }
}

/**
 * Finds records.
 *
 * @param ids  joined ids, 32 bytes each
 * @returns    a location for each, in the same order; undefined for those that are not indexed, whose row fails its check,
 *             or that are known to be damaged
 */
export async function find(index: ArchiveIndex, archive: Buffer, ordinal: number, ids: Buffer): Promise<(Location | undefined)[]> {
  const rows = await findRows(index, archive, ordinal, ids)
  return rows.map(row => (row && row.length > 0 ? row : undefined))
}

/** As find, but what is known to be damaged comes with length 0. */
export async function findRows(index: ArchiveIndex, archive: Buffer, ordinal: number, ids: Buffer): Promise<(Location | undefined)[]> {
  const found: (Location | undefined)[] = []
  for (let from = 0; from < ids.length; from += FIND_IDS_MAX * ID_BYTES) {
    const part = ids.subarray(from, from + FIND_IDS_MAX * ID_BYTES)
    const keys: Buffer[] = []
    const joined = Buffer.allocUnsafeSlow((part.length / ID_BYTES) * KEY_BYTES)
    for (let i = 0; i * ID_BYTES < part.length; i++) {
      const key = joined.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES)
      key.writeUInt32BE(ordinal, 0)
      part.copy(key, 4, i * ID_BYTES, (i + 1) * ID_BYTES)
      keys.push(key)
    }
    const values = await index.database.getMany(keys)
    for (let i = 0; i < keys.length; i++) {
      const value = values[i]
      const isGood = value?.length === VALUE_BYTES && checksum(archive, keys[i] as Buffer, value) === value.readUInt32LE(12)
      found.push(isGood ? { segment: value.readUInt32LE(0), offset: value.readUInt32LE(4), length: value.readUInt32LE(8) } : undefined)
    }
  }
  return found
}

/** The committed snapshots of an archive, in order of their sequence, as far as their rows pass their checks. */
export async function* snapshotEntries(index: ArchiveIndex, archive: Buffer, ordinal: number): AsyncGenerator<SnapshotEntry> {
  for await (const [key, value] of index.database.entries(snapshotRange(ordinal))) {
    if (value.length !== SNAPSHOT_BYTES || checksum(archive, key, value) !== value.readUInt32LE(SNAPSHOT_BYTES - 4)) continue
    yield {
      id: Buffer.from(value.subarray(0, ID_BYTES)),
      sequence: Number(key.readBigUInt64BE(9)),
      received_ms: Number(value.readBigUInt64LE(ID_BYTES)),
    }
  }
}

/**
 * Puts an update in line; updates that wait at the same time are written as one batch. An archive's updates are written
 * in the order of the calls, each whole or not at all. Call it only after the records' flush: never ahead of the segments.
 *
 * @returns once it can be found by look-ups; it is not durable then, and need not be
 */
export function write(index: ArchiveIndex, update: Update): Promise<void> {
  return new Promise((resolve, reject) => {
    index.waiting.push({ update, resolve, reject })
    index.draining ??= drain(index)
  })
}

async function drain(index: ArchiveIndex): Promise<void> {
  // What else is put in line in this turn of the event loop goes into the same batch.
  await Promise.resolve()
  while (index.waiting.length > 0) {
    const batch = takeBatch(index.waiting)
    try {
      if (index.failure) throw index.failure.error
      const operations: IndexOperation[] = []
      for (const { update } of batch) putUpdate(operations, update)
      await index.database.batch(operations)
      for (const { resolve } of batch) resolve()
    } catch (error) {
      index.failure ??= { error }
      for (const { reject } of batch) reject(error)
    }
  }
  index.draining = undefined
}

function takeBatch(waiting: Waiting[]): Waiting[] {
  let entries_count = 0
  let taken = 0
  while (taken < waiting.length && (taken === 0 || entries_count < BATCH_ENTRIES_MAX)) entries_count += (waiting[taken++] as Waiting).update.entries.length
  return waiting.splice(0, taken)
}

function putUpdate(operations: IndexOperation[], { archive, row, entries, snapshots }: Update): void {
  putEntries(operations, archive, row.ordinal, entries)
  putSnapshots(operations, archive, row.ordinal, snapshots)
  const key = rowKey(archive)
  const value = Buffer.alloc(ROW_BYTES)
  value.writeUInt32LE(row.ordinal, 0)
  value.writeUInt32LE(row.segment, 4)
  value.writeUInt32LE(row.offset, 8)
  value.writeUInt32LE(row.anchor.offset, 12)
  value.writeUInt32LE(row.anchor.crc, 16)
  value.writeBigUInt64LE(BigInt(row.records), 20)
  value.writeBigUInt64LE(BigInt(row.bytes), 28)
  value.writeBigUInt64LE(BigInt(row.head?.sequence ?? 0), 36)
  value.set(row.head?.id ?? NO_ID, 44)
  value.writeUInt32LE(row.isDamaged ? 1 : 0, 44 + ID_BYTES)
  value.writeUInt32LE(checksum(archive, key, value), ROW_BYTES - 4)
  operations.push({ type: 'put', key, value })
}

/** Adds the rows of records to a batch; key and value of a row share one piece of memory. */
export function putEntries(operations: IndexOperation[], archive: Buffer, ordinal: number, entries: readonly Entry[]): void {
  const joined = Buffer.allocUnsafeSlow(entries.length * (KEY_BYTES + VALUE_BYTES))
  entries.forEach(({ id, segment, offset, length }, i) => {
    const at = i * (KEY_BYTES + VALUE_BYTES)
    const key = joined.subarray(at, at + KEY_BYTES)
    const value = joined.subarray(at + KEY_BYTES, at + KEY_BYTES + VALUE_BYTES)
    key.writeUInt32BE(ordinal, 0)
    key.set(id, 4)
    value.writeUInt32LE(segment, 0)
    value.writeUInt32LE(offset, 4)
    value.writeUInt32LE(length, 8)
    value.writeUInt32LE(checksum(archive, key, value), 12)
    operations.push({ type: 'put', key, value })
  })
}

/** Adds the rows of snapshots to a batch. */
export function putSnapshots(operations: IndexOperation[], archive: Buffer, ordinal: number, snapshots: readonly SnapshotEntry[]): void {
  for (const { id, sequence, received_ms } of snapshots) {
    const key = snapshotKey(ordinal, sequence)
    const value = Buffer.alloc(SNAPSHOT_BYTES)
    value.set(id)
    value.writeBigUInt64LE(BigInt(received_ms), ID_BYTES)
    value.writeUInt32LE(checksum(archive, key, value), SNAPSHOT_BYTES - 4)
    operations.push({ type: 'put', key, value })
  }
}

/** Notes that the copies at these locations are damaged, so that the records count as missing and are sent again. */
export async function markDamaged(index: ArchiveIndex, archive: Buffer, ordinal: number, entries: readonly Entry[]): Promise<void> {
  for (let from = 0; from < entries.length; from += BATCH_ENTRIES_MAX) {
    const operations: IndexOperation[] = []
    const part = entries.slice(from, from + BATCH_ENTRIES_MAX)
    putEntries(
      operations,
      archive,
      ordinal,
      part.map(entry => ({ ...entry, length: 0 })),
    )
    await index.database.batch(operations)
  }
}

/** Removes all rows of an ordinal that is no longer in use. */
export async function forgetOrdinal(index: ArchiveIndex, ordinal: number): Promise<void> {
  await index.database.clear({ gte: uint32BE(ordinal), lt: uint32BE(ordinal + 1) })
  await index.database.clear(snapshotRange(ordinal))
}

/** Waits for what is in line, and closes the database. */
export async function closeIndex(index: ArchiveIndex): Promise<void> {
  await index.draining
  await index.database.close()
}

/** Over archive, key and value without its last four bytes. */
const checksum = (archive: Buffer, key: Buffer, value: Buffer): number => crc32(value.subarray(0, -4), crc32(key, crc32(archive)))

function uint32BE(number: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}

const meta = (letter: string, ...parts: Buffer[]): Buffer => Buffer.concat([Buffer.alloc(4), Buffer.from(letter), ...parts])
const metaRange = (letter: string): KeyRange => ({ gte: meta(letter), lt: meta(String.fromCharCode(letter.charCodeAt(0) + 1)) })
const rowKey = (archive: Buffer): Buffer => meta('a', archive)
const snapshotRange = (ordinal: number): KeyRange => ({ gte: meta('s', uint32BE(ordinal)), lt: meta('s', uint32BE(ordinal + 1)) })

function snapshotKey(ordinal: number, sequence: number): Buffer {
  const number = Buffer.alloc(8)
  number.writeBigUInt64BE(BigInt(sequence))
  return meta('s', uint32BE(ordinal), number)
}
