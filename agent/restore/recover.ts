// Restoring with no server at all: from an archive directory (a copy, a mounted disk) and a key. This is the one place in
// the agent that reads segments. It needs no index, goes past damaged records, and trusts no byte of them: a record has a
// digest, and opens only whole.

import { type Damage, inDiskOrder, type Location } from '#archive/location.ts'
import { closeReading, createLocationMap, openArchiveReading, readRecordAt, recordsOf } from '#archive/reading.ts'
import { type ArchiveKeys, deriveArchiveKeys, type KeyRing } from '#format/keys.ts'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { fault as protocolFault } from '#protocol/errors.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { ID_BYTES, KIND, parseRecord } from '#protocol/record.ts'
import { createHandover, createRecordMemory } from '#site/record-memory.ts'
import { chooseSnapshot } from './at.ts'
import type { OnConflict } from './conflict.ts'
import { fault } from './errors.ts'
import type { Failure } from './messages.ts'
import type { RecordSource, SnapshotRow } from './record-source.ts'
import { restore } from './restore.ts'
import { type OpenSnapshot, openSnapshots } from './snapshots.ts'
import type { Tally } from './tally.ts'

export type ArchiveSource = RecordSource & {
  /** Damage that was met so far; what a power cut may have left is not among it. */
  readonly damage: readonly Damage[]
  /** Snapshot records that are there, but damaged: hex ids, with what is wrong. */
  readonly lostSnapshots: ReadonlyMap<string, Fault>
}

/**
 * Finds all records of an archive directory, by the lists at the ends of its segments where those are whole. Memory: about
 * 40 bytes a record.
 *
 * @param onDamage  called for damage as it is met, and for what a power cut may have left (torn)
 * @throws ARCHIVE_UNKNOWN  no segment is there
 */
export async function openArchiveSource(directory: string, onDamage: (damage: Damage) => void = () => {}): Promise<ArchiveSource> {
  const reading = await openArchiveReading(directory)
  const locations = createLocationMap()
  const damage: Damage[] = []
  const rows: SnapshotRow[] = []
  const lostSnapshots = new Map<string, Fault>()
  const found: { id: Buffer; location: Location; received_ms: number }[] = []
  const options = {
    trustFooters: true,
    onDamage: (one: Damage): void => {
      // The end of the last write may be torn: nobody was told that it was stored, so nothing need be lost. It is told all the same.
      if (one.reason !== 'torn') damage.push(one)
      onDamage(one)
    },
  }
  for await (const { header, segment, offset, length, received_ms } of recordsOf(reading, options)) {
    const location = { segment, offset, length }
    const id = Buffer.from(header.id)
    locations.add(id, location)
    if (header.kind === KIND.snapshot) found.push({ id, location, received_ms })
  }
  for (const { id, location, received_ms } of found) {
    const snapshot = id.toString('hex')
    try {
      const { sequence } = parseSnapshotClear(Buffer.from(parseRecord(await readRecordAt(reading, location, id)).clear))
      rows.push({ snapshot, sequence, received_ms })
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      lostSnapshots.set(snapshot, error)
    }
  }
  rows.sort((a, b) => a.sequence - b.sequence)

  const memory = createRecordMemory()
  const idAt = (ids: Buffer, i: number): Buffer => ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES)
  return {
    archive: reading.archive,
    damage,
    lostSnapshots,
    snapshots: () => Promise.resolve(rows),
    async read(ids, onRecord) {
      const wanted: { id: Buffer; location: Location }[] = []
      let reason: Fault | undefined
      for (let i = 0; i * ID_BYTES < ids.length; i++) {
        const id = Buffer.from(idAt(ids, i))
        const location = locations.find(id)
        if (location) wanted.push({ id, location })
        else reason ??= protocolFault('RECORD_UNKNOWN', { facts: { id: id.toString('hex') } })
      }
      const handover = createHandover(memory, onRecord)
      try {
        for (const { id, location } of wanted.sort((a, b) => inDiskOrder(a.location, b.location))) {
          const piece = await memory.take(location.length)
          try {
            await readRecordAt(reading, location, id, piece)
          } catch (error) {
            memory.give(piece)
            if (!(error instanceof Fault)) throw error
            reason ??= error
            continue
          }
          handover.hand(piece)
        }
      } finally {
        await handover.settle()
      }
      if (reason) throw reason
    },
    missing(ids) {
      const bitmap = new Uint8Array(Math.ceil(ids.length / ID_BYTES / 8))
      for (let i = 0; i * ID_BYTES < ids.length; i++) if (!locations.find(idAt(ids, i))) bitmap[i >> 3] = (bitmap[i >> 3] ?? 0) | (1 << (i & 7))
      return Promise.resolve(bitmap)
    },
    close: () => closeReading(reading),
  }
}

/**
 * The snapshot to recover: the one that `at` names, or for `latest` the newest that is intact itself.
 *
 * @param onLost  a newer one that is damaged and was passed over
 * @throws ARCHIVE_EMPTY, SNAPSHOT_UNKNOWN, …  as `--at`
 * @throws KEY_WRONG  nothing opens with this key
 */
export async function chooseIntact(
  source: RecordSource,
  keys: ArchiveKeys,
  at: string,
  onLost: (row: SnapshotRow, lost: Fault) => void,
): Promise<OpenSnapshot> {
  const rows = await source.snapshots()
  const chosen = chooseSnapshot(rows, at, Date.now())
  const candidates = at.trim() === 'latest' ? rows.toReversed() : [chosen]
  let isAnythingElseWrong = false
  const lostRows: { row: SnapshotRow; lost: Fault }[] = []
  for (const row of candidates) {
    for await (const snapshot of openSnapshots(source, keys, [row])) {
      if (!('lost' in snapshot)) {
        for (const { row: passed, lost } of lostRows) onLost(passed, lost)
        return snapshot
      }
      lostRows.push(snapshot)
      isAnythingElseWrong ||= !isFault(snapshot.lost, 'RECORD_DOES_NOT_OPEN')
    }
  }
  const [first] = lostRows
  if (isAnythingElseWrong && first) throw first.lost
  throw fault('KEY_WRONG', { found: `${rows.length} snapshots, none of which opens` })
}

export type RecoverOptions = {
  readonly directory: string
  /** Stays the caller's, to wipe. */
  readonly ring: KeyRing
  readonly target: string
  readonly paths: readonly string[]
  readonly at: string
  readonly onConflict: OnConflict
  readonly isResume: boolean
  readonly onSnapshot?: (snapshot: OpenSnapshot) => void
  readonly onProgress?: (tally: Readonly<Tally>) => void
  readonly onFailure?: (failure: Failure) => void
  readonly onDamage?: (damage: Damage) => void
  readonly onLostSnapshot?: (snapshot: string, lost: Fault) => void
  readonly signal?: AbortSignal
}

export type Recovered = {
  readonly tally: Tally
  readonly snapshot: OpenSnapshot
  readonly archive: string
  readonly damage_count: number
  readonly lost_snapshots: number
}

/**
 * Restores from an archive directory; what is lost is in the tally, by name.
 *
 * @throws ARCHIVE_UNKNOWN, ARCHIVE_EMPTY, SNAPSHOT_UNKNOWN, KEY_WRONG, and those of restore()
 */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const source = await openArchiveSource(options.directory, options.onDamage)
  const keys = deriveArchiveKeys(options.ring, source.archive)
  try {
    let lost_snapshots = 0
    const onLost = (snapshot: string, lost: Fault): void => {
      lost_snapshots++
      options.onLostSnapshot?.(snapshot, lost)
    }
    for (const [snapshot, lost] of source.lostSnapshots) onLost(snapshot, lost)
    const snapshot = await chooseIntact(source, keys, options.at, (row, lost) => onLost(row.snapshot, lost))
    options.onSnapshot?.(snapshot)
    const { ring, paths, target, onConflict, isResume, onProgress, onFailure, signal } = options
    const tally = await restore({
      source,
      keys,
      ring,
      snapshot,
      paths,
      target,
      onConflict,
      isResume,
      ...(onProgress ? { onProgress } : {}),
      ...(onFailure ? { onFailure } : {}),
      ...(signal ? { signal } : {}),
    })
    return { tally, snapshot, archive: source.archive, damage_count: source.damage.length, lost_snapshots }
  } finally {
    keys.wipe()
    await source.close()
  }
}
