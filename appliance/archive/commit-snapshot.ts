// Committing a snapshot: the moment from which a backup counts. Invariants:
//   a snapshot is only written when everything it needs is durable, so one that is found later, even one that was never
//   acknowledged, is complete;
//   snapshots of an archive form a chain: each has the next sequence, and names the one before.
import { parseSnapshotClear, type SnapshotClear } from '#protocol/clear-part.ts'
import { fault } from '#protocol/errors.ts'
import { ID_BYTES, KIND, RECORD_HEADER_BYTES, recordBytes } from '#protocol/record.ts'
import type { Committed } from '#protocol/storage-api.ts'
import { claim, release } from './append.ts'
import { snapshots } from './archive.ts'
import { type Archive, type Framed, type Placed, recentKey } from './engine.ts'
import type { Location } from './location.ts'
import { idAt, locate } from './lookup.ts'
import { noteDamage } from './note-damage.ts'
import { repairIndex } from './repair-index.ts'
import { writeRecords } from './segment-writer.ts'
import { readClear, readIntact } from './stored-record.ts'

const MISSING_TOLD_MAX = 100

/**
 * Commits a snapshot and returns once it survives a power cut. Committing the same one again answers the same.
 *
 * Pages of the snapshot before need no second look, but that they are there: it was complete when it was committed. Once
 * damage was found in the archive, all pages are looked at each time, until `reindex` has read it through and found none.
 *
 * @param framed  the snapshot's whole record, its digest checked by the caller
 * @throws RECORD_INVALID            not a snapshot, or a clear part of another shape
 *         RECORD_CONFLICT           the id is stored with another digest
 *         SNAPSHOT_OUT_OF_SEQUENCE  it does not follow the newest one
 *         SNAPSHOT_INCOMPLETE       records are missing or damaged; facts: missing_count, and the first hundred ids
 *         ARCHIVE_FULL, ARCHIVE_FAILED  as append; it is not committed
 */
export function commitSnapshot(archive: Archive, framed: Framed): Promise<Committed> {
  const committed = archive.committing.then(() => commit(archive, framed))
  archive.committing = committed.catch(() => undefined)
  return committed
}

async function commit(archive: Archive, framed: Framed): Promise<Committed> {
  const { header } = framed
  if (header.kind !== KIND.snapshot) throw fault('RECORD_INVALID', { expected: 'a snapshot', found: `kind ${header.kind}` })
  const clear = parseSnapshotClear(clearOf(framed))
  const known = await knownSnapshot(archive, framed)
  if (known) return known
  if (archive.failure) throw archive.failure
  checkSequence(archive, clear)
  await checkComplete(archive, clear)
  claim(archive, framed)
  const recents = [archive.recent.get(recentKey(header.id))]
  try {
    const [placed] = await writeRecords(archive, [{ framed, sequence: clear.sequence }])
    // So that it is listed when this returns; it is committed even if the index can't be written.
    await archive.writer.indexed.catch(() => undefined)
    return { snapshot: header.id.toString('hex'), sequence: clear.sequence, received_ms: (placed as Placed).received_ms }
  } finally {
    release(archive, [framed], recents)
  }
}

function clearOf({ header, pieces }: Framed): Buffer {
  const whole = pieces.length === 1 && pieces[0] ? Buffer.from(pieces[0].buffer, pieces[0].byteOffset, pieces[0].length) : Buffer.concat(pieces)
  if (whole.length !== recordBytes(header)) throw fault('RECORD_INVALID', { expected: `${recordBytes(header)} bytes`, found: `${whole.length}` })
  return whole.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + header.clear_bytes)
}

/** What was answered when this very record was committed before. */
async function knownSnapshot(archive: Archive, { header }: Framed): Promise<Committed | undefined> {
  const [location] = await locate(archive, header.id)
  const copy = location && (await readIntact(archive, location, header.id))
  if (!copy) return undefined
  const row = (await snapshots(archive)).find(({ snapshot }) => snapshot === header.id.toString('hex'))
  if (!copy.header.digest.equals(header.digest) || !row) throw fault('RECORD_CONFLICT', { facts: { ids: [header.id.toString('hex')] } })
  return row
}

function checkSequence({ head }: Archive, { sequence, previous }: SnapshotClear): void {
  const isNext = sequence === (head?.sequence ?? 0) + 1 && (head ? previous?.equals(head.id) === true : previous === undefined)
  if (isNext) return
  const expected = head ? `sequence ${head.sequence + 1} after ${head.id.toString('hex')}` : 'sequence 1, and no snapshot before'
  throw fault('SNAPSHOT_OUT_OF_SEQUENCE', { expected, found: `sequence ${sequence} after ${previous?.toString('hex') ?? 'none'}` })
}

async function checkComplete(archive: Archive, { previous, pages }: SnapshotClear): Promise<void> {
  const locations = await locateSurely(archive, Buffer.concat(pages))
  // Where damage was found meanwhile, what was complete then need not be so any more.
  const complete = previous && !archive.isDamaged ? await pagesOf(archive, previous) : new Set<string>()
  const lost: Buffer[] = []
  for (const [i, id] of pages.entries()) {
    const location = locations[i]
    if (location && complete.has(recentKey(id))) continue
    lost.push(...(location ? await lostOfPage(archive, location, id) : [id]))
  }
  if (lost.length === 0) return
  const ids = [...new Set(lost.map(id => id.toString('hex')))]
  throw fault('SNAPSHOT_INCOMPLETE', { found: `${ids.length} missing`, facts: { missing_count: ids.length, missing: ids.slice(0, MISSING_TOLD_MAX) } })
}

/** What is missing of a stored page: blocks that it needs, or itself. */
async function lostOfPage(archive: Archive, location: Location, id: Buffer): Promise<Buffer[]> {
  const page = await readClear(archive, location, id)
  if (!page) await noteDamage(archive, location, id)
  if (page?.header.kind !== KIND.page || page.clear.length % ID_BYTES !== 0) return [id]
  const blocks = await locate(archive, page.clear)
  const lost: Buffer[] = []
  blocks.forEach((block, j) => {
    if (!block) lost.push(idAt(page.clear, j))
  })
  // A damaged list names blocks that never were: so it is checked before anything in it is called missing.
  if (lost.length === 0 || (await readIntact(archive, location, id))) return lost
  await noteDamage(archive, location, id)
  return [id]
}

/** The pages of the snapshot before; none if it can't be read any more: then all pages are looked at. */
async function pagesOf(archive: Archive, snapshot: Buffer): Promise<Set<string>> {
  const [location] = await locateSurely(archive, snapshot)
  const record = location && (await readIntact(archive, location, snapshot))
  if (!record) return new Set()
  const { header, bytes } = record
  return new Set(parseSnapshotClear(bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + header.clear_bytes)).pages.map(recentKey))
}

/** Locations; the segments themselves are asked if the index does not know one. */
async function locateSurely(archive: Archive, ids: Buffer): Promise<Awaited<ReturnType<typeof locate>>> {
  const locations = await locate(archive, ids)
  if (locations.every(location => location !== undefined)) return locations
  await repairIndex(archive)
  return locate(archive, ids)
}
