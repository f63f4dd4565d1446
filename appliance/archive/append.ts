// Storing records: each id once. Invariants:
//   a call returns once all its records are durable, whoever wrote them: itself, an earlier call, or one at the same time;
//   a record that is called known was read and checked just now, so a damaged copy is never taken for it, but replaced.
import { fault } from '#protocol/errors.ts'
import { KIND, recordBytes } from '#protocol/record.ts'
import type { Stored } from '#protocol/storage-api.ts'
import { type Archive, type Framed, type Recent, recentKey } from './engine.ts'
import { locate } from './lookup.ts'
import { noteDamage } from './note-damage.ts'
import { writeRecords } from './segment-writer.ts'
import { readIntact } from './stored-record.ts'

export type { Framed } from './engine.ts'

/** Snapshots come by commitSnapshot only, and the archive's own records by nobody. */
const KINDS_APPENDED: ReadonlySet<number> = new Set([KIND.block, KIND.page, KIND.tombstone, KIND.custody])
const CONFLICTS_TOLD_MAX = 100

/**
 * Stores records and returns once they survive a power cut.
 *
 * Calls made while a flush is running share the next one (group commit), so many small calls cost one fdatasync. Order
 * among concurrent calls is not kept.
 *
 * @param framed  whole records, their digests checked by the caller; not copied, and not to be changed until it returns
 * @returns       how many were stored, and how many were stored already with the same digest
 * @throws RECORD_INVALID   a snapshot, or one of the archive's own kinds; or pieces that don't add up; nothing was stored
 *         RECORD_CONFLICT  an id is stored with another digest; all other records of the call are stored
 *         ARCHIVE_FULL     the volume is full up to its reserve; some may have been stored: send the rest again
 *         ARCHIVE_FAILED   a write or flush failed; the archive is read-only until it is opened again
 */
export async function append(archive: Archive, framed: readonly Framed[]): Promise<Stored> {
  framed.forEach(checkFramed)
  if (archive.failure) throw archive.failure
  const conflicts: string[] = []
  let stored = 0
  let known = 0
  for (let rest = framed; rest.length > 0; ) {
    const mine: Framed[] = []
    const others: Framed[] = []
    const awaited: Promise<void>[] = []
    for (const record of rest) {
      const recent = archive.recent.get(recentKey(record.header.id))
      if (!recent) mine.push(claim(archive, record))
      else if (recent.location === undefined) {
        others.push(record)
        awaited.push(recent.settled)
      } else if (recent.digest.equals(record.header.digest)) known++
      else conflicts.push(record.header.id.toString('hex'))
    }
    if (mine.length > 0) {
      const done = await storeClaimed(archive, mine)
      stored += done.stored
      known += done.known
      conflicts.push(...done.conflicts)
    }
    // Others are storing these ids; when they are done, or have failed, look again.
    await Promise.all(awaited)
    rest = others
  }
  if (conflicts.length > 0) throw fault('RECORD_CONFLICT', { found: `${conflicts.length} such ids`, facts: { ids: conflicts.slice(0, CONFLICTS_TOLD_MAX) } })
  return { stored, known }
}

function checkFramed({ header, pieces }: Framed): void {
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
  if (bytes !== recordBytes(header)) throw fault('RECORD_INVALID', { expected: `${recordBytes(header)} bytes`, found: `${bytes}` })
  if (!KINDS_APPENDED.has(header.kind)) throw fault('RECORD_INVALID', { expected: 'a block, page, tombstone or custody record', found: `kind ${header.kind}` })
}

/** Says that this call is storing the id; until it has settled, other calls with the same id wait. */
export function claim(archive: Archive, record: Framed): Framed {
  const { promise, resolve } = Promise.withResolvers<void>()
  const recent: Recent = { digest: Buffer.from(record.header.digest), location: undefined, settled: promise, settle: resolve }
  archive.recent.set(recentKey(record.header.id), recent)
  return record
}

/** Ends the claims: those that were written stay in `recent` until they are indexed, the others go. */
export function release(archive: Archive, claimed: readonly Framed[], recents: readonly (Recent | undefined)[]): void {
  claimed.forEach((record, i) => {
    const key = recentKey(record.header.id)
    if (archive.recent.get(key) === recents[i] && recents[i]?.location === undefined) archive.recent.delete(key)
    recents[i]?.settle()
  })
}

async function storeClaimed(archive: Archive, claimed: readonly Framed[]): Promise<{ stored: number; known: number; conflicts: string[] }> {
  const recents = claimed.map(record => archive.recent.get(recentKey(record.header.id)))
  try {
    const conflicts: string[] = []
    const fresh: Framed[] = []
    let known = 0
    const locations = await locate(archive, Buffer.concat(claimed.map(({ header }) => header.id)))
    for (const [i, record] of claimed.entries()) {
      const location = locations[i]
      const { id, digest } = record.header
      const copy = location && (await readIntact(archive, location, id))
      if (location && !copy) await noteDamage(archive, location, id)
      if (!copy) fresh.push(record)
      else if (copy.header.digest.equals(digest)) known++
      else conflicts.push(id.toString('hex'))
    }
    if (fresh.length > 0) {
      const records = fresh.map(record => ({ framed: record, sequence: undefined }))
      await writeRecords(archive, records)
    }
    return { stored: fresh.length, known, conflicts }
  } finally {
    release(archive, claimed, recents)
  }
}
