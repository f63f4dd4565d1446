// The sealed part of a snapshot: what is to be known about one state of the device's files. Which pages it has, its
// sequence and the snapshot before are in the record's clear part (#protocol/clear-part.ts). The sequence is here too,
// so that no two snapshots have the same id.
import { decodeCbor, encodeCbor } from './cbor.ts'
import { fault } from './errors.ts'
import { bytesOf, latin1 } from './page-columns.ts'

export const SNAPSHOT_VERSION = 1
/** Of the unreadable files, only as many are kept as fit into so many bytes. */
export const UNREADABLE_BYTES_MAX = 4 * 1024 * 1024

export type SnapshotCounts = { readonly files: number; readonly directories: number; readonly others: number; readonly bytes: number }

export type Snapshot = {
  readonly sequence: number
  readonly hostname: string
  /** What was backed up: byte strings, without the leading '/'. */
  readonly paths: readonly string[]
  readonly start_ms: number
  readonly end_ms: number
  readonly agent_version: string
  readonly counts: SnapshotCounts
  /** Why a file is not, or not quite, in the snapshot. May be fewer than unreadable_count. */
  readonly unreadable: readonly { readonly path: string; readonly reason: string }[]
  readonly unreadable_count: number
}

/** The plaintext of a snapshot record; the list of unreadable files is cut at UNREADABLE_BYTES_MAX. */
export function encodeSnapshot(snapshot: Omit<Snapshot, 'unreadable_count'>): Buffer {
  const unreadable: { path: Uint8Array; reason: string }[] = []
  let bytes = 0
  for (const { path, reason } of snapshot.unreadable) {
    bytes += path.length + reason.length + 24
    if (bytes > UNREADABLE_BYTES_MAX) break
    unreadable.push({ path: bytesOf(path), reason })
  }
  return encodeCbor({
    version: SNAPSHOT_VERSION,
    sequence: snapshot.sequence,
    hostname: snapshot.hostname,
    paths: snapshot.paths.map(bytesOf),
    start_ms: snapshot.start_ms,
    end_ms: snapshot.end_ms,
    agent_version: snapshot.agent_version,
    counts: { ...snapshot.counts },
    unreadable,
    unreadable_count: snapshot.unreadable.length,
  })
}

/**
 * Reads the plaintext of a snapshot record, believing nothing. Unknown keys are left out: a later version may add some.
 *
 * @throws SNAPSHOT_INVALID
 */
export function decodeSnapshot(plaintext: Buffer): Snapshot {
  let value: unknown
  try {
    value = decodeCbor(plaintext).value
  } catch (cause) {
    throw fault('SNAPSHOT_INVALID', { expected: 'a snapshot in deterministic CBOR', found: 'other bytes', cause })
  }
  const map = recordOf(value, 'snapshot')
  if (map['version'] !== SNAPSHOT_VERSION) throw wrong(`version ${SNAPSHOT_VERSION}`, `version ${String(map['version'])}`)
  const counts = recordOf(map['counts'], 'counts')
  return {
    sequence: count(map, 'sequence'),
    hostname: text(map, 'hostname'),
    paths: list(map, 'paths').map(path => path_(path)),
    start_ms: count(map, 'start_ms'),
    end_ms: count(map, 'end_ms'),
    agent_version: text(map, 'agent_version'),
    counts: { files: count(counts, 'files'), directories: count(counts, 'directories'), others: count(counts, 'others'), bytes: count(counts, 'bytes') },
    unreadable: list(map, 'unreadable').map(item => {
      const row = recordOf(item, 'unreadable')
      return { path: path_(row['path']), reason: text(row, 'reason') }
    }),
    unreadable_count: count(map, 'unreadable_count'),
  }
}

const wrong = (expected: string, found: string): Error => fault('SNAPSHOT_INVALID', { expected, found })

function recordOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) throw wrong(`a map as ${what}`, typeof value)
  return value as Record<string, unknown>
}

function count(map: Record<string, unknown>, key: string): number {
  const value = map[key]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(`a whole number as ${key}`, typeof value)
  return value
}

function text(map: Record<string, unknown>, key: string): string {
  const value = map[key]
  if (typeof value !== 'string') throw wrong(`a text as ${key}`, typeof value)
  return value
}

function list(map: Record<string, unknown>, key: string): readonly unknown[] {
  const value = map[key]
  if (!Array.isArray(value)) throw wrong(`a list as ${key}`, typeof value)
  return value
}

function path_(value: unknown): string {
  if (!(value instanceof Uint8Array)) throw wrong('a path in bytes', typeof value)
  return latin1(value)
}
