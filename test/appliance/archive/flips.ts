// What must hold of an archive in which one byte was flipped: checked on an open archive, and on a directory without one.
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { isFault } from '#protocol/fault.ts'
import { KIND, parseRecord } from '#protocol/record.ts'
import { type Archive, snapshots, state } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import type { Disk } from '../../../appliance/archive/disk.ts'
import type { Damage, Location } from '../../../appliance/archive/location.ts'
import { missing } from '../../../appliance/archive/lookup.ts'
import { read } from '../../../appliance/archive/read.ts'
import { closeReading, openArchiveReading, readRecordAt, recordsOf } from '../../../appliance/archive/reading.ts'
import { reindex } from '../../../appliance/archive/reindex.ts'
import { put } from './open.ts'
import { framed, idOf, joined, page, snapshot } from './records.ts'

export type Flip = { readonly segment: number; readonly offset: number }
export type SnapshotTold = { readonly snapshot: string; readonly sequence: number; readonly received_ms: number }
/** What is true of the archive before the flip. */
export type Truth = {
  /** Acknowledged records by hex id, and where they lie. */
  readonly records: ReadonlyMap<string, Buffer>
  readonly locations: ReadonlyMap<string, Location>
  readonly snapshots: readonly SnapshotTold[]
  /** From here on in the newest segment nothing but the index proves that it was durable: where its last mark begins, or its footer. */
  readonly unproven: Flip
}

const fail = (what: string): never => {
  throw new Error(what)
}
const isIn = ({ segment, offset }: Flip, range: Location): boolean =>
  range.segment === segment && range.offset <= offset && offset < range.offset + range.length
const isBehind = (from: Flip, { segment, offset }: Flip): boolean => segment === from.segment && offset >= from.offset
const joinedIds = (ids: readonly string[]): Buffer => Buffer.from(ids.join(''), 'hex')

/** The hex id of the record in which a byte lies, if it lies in one. */
export const victimOf = (truth: Truth, flip: Flip): string | undefined => [...truth.locations].find(([, location]) => isIn(flip, location))?.[0]

/** What is there before the flip, by the segments. */
export async function truthOf(archive: Archive, records: ReadonlyMap<string, Buffer>, disk?: Disk): Promise<Truth> {
  const locations = new Map<string, Location>()
  const reading = await openArchiveReading(archive.dir, disk ? { disk } : {})
  for await (const { header, segment, offset, length } of recordsOf(reading, { onDamage: range => fail(JSON.stringify(range)) })) {
    locations.set(header.id.toString('hex'), { segment, offset, length })
  }
  await closeReading(reading)
  const newest = reading.segments.at(-1) ?? 0
  const ends = [...locations.values()].filter(({ segment }) => segment === newest).map(({ offset, length }) => offset + length)
  const unproven = { segment: newest, offset: archive.writer.segment?.anchor.offset ?? Math.max(...ends) }
  return { records, locations, snapshots: await snapshots(archive), unproven }
}

/**
 * Whatever was flipped: what is read is right or fails its check, and nothing else is hidden.
 *
 * @param victims  hex ids of the records that may be gone or altered
 */
export async function checkRecords(archive: Archive, truth: Truth, victims: ReadonlySet<string>): Promise<void> {
  const ids = [...truth.records.keys()].filter(id => !victims.has(id))
  const { chunks } = await read(archive, joinedIds(ids))
  const bytes = await joined(chunks)
  let at = 0
  const found = new Set<string>()
  while (at < bytes.length) {
    const record = parseRecord(bytes, at)
    const id = record.header.id.toString('hex')
    if (truth.records.get(id)?.equals(record.bytes) !== true) fail(`another record is read than was stored: ${id}`)
    found.add(id)
    at += record.bytes.length
  }
  for (const id of ids) if (!found.has(id)) fail(`an intact record is not read: ${id}`)
  // Asking for them first, as reading did, has put right what the index alone had lost.
  const bitmap = await missing(archive, joinedIds(ids))
  if (bitmap.some(byte => byte !== 0)) fail('an intact record is called missing')
  for (const id of victims) await checkVictim(archive, truth, id)
  const listed = await snapshots(archive)
  for (const row of listed) {
    const told = truth.snapshots.find(({ snapshot: id }) => id === row.snapshot) ?? fail(`a snapshot that never was: ${row.snapshot}`)
    // Where the mark in front of it is damaged, the time of the mark before that is the nearest that can be said.
    if (row.sequence !== told.sequence || row.received_ms > told.received_ms) fail(`a snapshot is listed as another: ${JSON.stringify(row)}`)
  }
  for (const { snapshot: id } of truth.snapshots) if (!victims.has(id) && !listed.some(row => row.snapshot === id)) fail(`a snapshot is not listed: ${id}`)
}

/** The record that was hit: missing, or refused when it is read, or its digest tells. */
async function checkVictim(archive: Archive, truth: Truth, id: string): Promise<void> {
  const [bit] = await missing(archive, joinedIds([id]))
  if (bit === 1) return
  try {
    const { chunks } = await read(archive, joinedIds([id]))
    const { bytes } = parseRecord(await joined(chunks))
    if (truth.records.get(id)?.equals(bytes) !== true) fail(`a wrong record passes its check: ${id}`)
  } catch (error) {
    if (!isFault(error, 'ARCHIVE_DAMAGED', 'RECORD_UNKNOWN', 'RECORD_ALTERED', 'RECORD_INVALID', 'RECORD_CUT', 'VERSION_UNSUPPORTED', 'RECORD_TOO_LARGE'))
      throw error
  }
}

/**
 * Reading everything through names the byte, and from then on what it hit counts as missing: no snapshot that needs it is
 * committed until it is sent again.
 */
export async function checkNamedAndMended(archive: Archive, truth: Truth, flip: Flip, options: { hasIndex: boolean }): Promise<void> {
  const victim = victimOf(truth, flip)
  const [reindexed] = await reindex(archive.store, archive.id, { isThorough: true })
  const isNamed = reindexed?.damage.some(range => isIn(flip, range)) === true
  // The last mark or footer may be called torn: nothing was ever promised of it. A record too, if no index proves it.
  const mayBeTorn = isBehind(truth.unproven, flip) && !(options.hasIndex && victim !== undefined)
  if (!isNamed && !mayBeTorn) fail(`not named: ${JSON.stringify(reindexed?.damage)}`)
  for (const range of reindexed?.damage ?? []) if (!isIn(flip, range) && range.length > 0) fail(`called damaged: ${JSON.stringify(range)}`)
  const lost = await missing(archive, joinedIds([...truth.records.keys()]))
  ;[...truth.records.keys()].forEach((id, i) => {
    const isMissing = (((lost[i >>> 3] ?? 0) >>> (i & 7)) & 1) === 1
    if (isMissing !== (id === victim)) fail(`${id} is ${isMissing ? '' : 'not '}missing`)
  })
  await checkCommit(archive, truth, victim)
}

/** A snapshot of everything is refused while the victim is missing, names it, and is committed when it was sent again. */
async function checkCommit(archive: Archive, truth: Truth, victim: string | undefined): Promise<void> {
  const ofKind = (kind: number): string[] => [...truth.records].filter(([, bytes]) => parseRecord(bytes).header.kind === kind).map(([id]) => id)
  const allBlocks = page(
    'all blocks',
    ofKind(KIND.block).map(id => Buffer.from(id, 'hex')),
  )
  await put(archive, allBlocks)
  const { head } = state(archive)
  const pages = [...pagesOfHead(archive, truth), ...ofKind(KIND.page), idOf('all blocks').toString('hex')]
  const previous = head ? Buffer.from(head.snapshot, 'hex') : undefined
  const next = snapshot(
    'after the flip',
    (head?.sequence ?? 0) + 1,
    previous,
    [...new Set(pages)].map(id => Buffer.from(id, 'hex')),
  )
  const isNeeded = victim !== undefined && !ofKind(KIND.snapshot).includes(victim)
  if (isNeeded) {
    const refused = await commitSnapshot(archive, framed(next)).catch((error: unknown) => error)
    if (!isFault(refused, 'SNAPSHOT_INCOMPLETE')) fail(`a snapshot was committed without ${victim}`)
    const told = (refused as { facts?: { missing?: string[] } }).facts?.missing ?? []
    if (told.length !== 1 || told[0] !== victim) fail(`missing is ${victim}, but told is ${told.join()}`)
    await put(archive, truth.records.get(victim) as Buffer)
  }
  await commitSnapshot(archive, framed(next))
  const healed = [...truth.records.keys()].filter(id => isNeeded || id !== victim)
  const { chunks } = await read(archive, joinedIds(healed))
  const bytes = await joined(chunks)
  if (bytes.length !== healed.reduce((sum, id) => sum + (truth.records.get(id)?.length ?? 0), 0)) fail('not everything is back')
}

function pagesOfHead(archive: Archive, truth: Truth): string[] {
  const record = truth.records.get(state(archive).head?.snapshot ?? '')
  return record ? parseSnapshotClear(parseRecord(record).clear).pages.map(id => id.toString('hex')) : []
}

/** The read-only reader finds every record that was not hit, no other, and names the byte. */
export async function checkReading(dir: string, truth: Truth, flip: Flip, disk?: Disk): Promise<void> {
  const victim = victimOf(truth, flip)
  for (const trustFooters of [false, true]) {
    const reading = await openArchiveReading(dir, disk ? { disk } : {})
    const damage: Damage[] = []
    const found = new Set<string>()
    for await (const location of recordsOf(reading, { onDamage: range => damage.push(range), trustFooters })) {
      const id = location.header.id
      const bytes = await readRecordAt(reading, location, id).catch((error: unknown) => {
        if (isFault(error) && trustFooters && id.toString('hex') === victim) return undefined
        throw error
      })
      if (!bytes) continue
      if (truth.records.get(id.toString('hex'))?.equals(bytes) !== true) fail(`another record is read than was stored: ${id.toString('hex')}`)
      found.add(id.toString('hex'))
    }
    await closeReading(reading)
    for (const id of truth.records.keys()) if (found.has(id) === (id === victim)) fail(`${id} is ${found.has(id) ? '' : 'not '}found`)
    if (trustFooters) continue
    const named = damage.filter(range => isIn(flip, range))
    if (named.length === 0) fail(`not named: ${JSON.stringify(damage)}`)
    if (named.some(({ reason }) => reason === 'torn') && !isBehind(truth.unproven, flip)) fail(`called torn: ${JSON.stringify(named)}`)
    for (const range of damage) if (!named.includes(range)) fail(`called damaged: ${JSON.stringify(range)}`)
  }
}
