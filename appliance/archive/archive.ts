// An archive: all that one device has backed up, as one directory of segments. Opening one is where everything that could
// have happened since the last time is put right: a torn tail is cut off, the index is caught up, damage is named.
import { join } from 'node:path'
import type { Static } from 'typebox'
import { fault } from '#protocol/errors.ts'
import { type Fault, isFault } from '#protocol/fault.ts'
import type { ArchiveState, SnapshotRow } from '#protocol/storage-api.ts'
import { type ArchiveRow, forgetOrdinal, readRow, snapshotEntries } from './archive-index.ts'
import { isNoSpace, systemCode } from './disk.ts'
import type { Archive, Store } from './engine.ts'
import { fault as storeFault } from './errors.ts'
import { emptyRow, indexSegments, isRowTrue } from './index-archive.ts'
import { indexUnreadable } from './index-failed.ts'
import { archivesDir } from './layout.ts'
import type { Damage } from './location.ts'
import { type Recovered, recoverNewest } from './recover-newest.ts'
import { repairIndex } from './repair-index.ts'
import { listSegment, listSegments, missingSegment, type SegmentContents } from './segment-contents.ts'
import { closeWriter } from './segment-writer.ts'

export type { Archive } from './engine.ts'

const SYSTEM_CODE = /^E[A-Z0-9]+$/
const ARCHIVE_ID = /^[0-9a-f]{32}$/
/** Damage that is kept in memory and told; the rest is only counted by reindex and recover. */
const DAMAGE_MAX = 10_000
const NO_RECOVERY: Recovered = { contents: undefined, open: undefined, failure: undefined, torn_bytes: 0 }

/**
 * Opens an archive; opening it again gives the same Archive, until it is closed. A new archive's directory is durable when
 * this returns. Nothing that was acknowledged is changed; a torn tail is cut off, durably.
 *
 * @param archiveId  32 hex digits
 * @throws ARCHIVE_UNKNOWN   it is not there, and `create` is false; or the id is none
 *         STORE_UNREADABLE  an error of the disk
 *         ARCHIVE_FAILED    the index cannot be read or written; at the next opening of the store it is made again
 */
export function openArchive(store: Store, archiveId: string, { create }: { create: boolean }): Promise<Archive> {
  const known = store.archives.get(archiveId)
  if (known) return known
  const opening = openOnce(store, archiveId, create)
  store.archives.set(archiveId, opening)
  opening.catch(() => store.archives.delete(archiveId))
  return opening
}

/** Waits for what is under way in an archive, and closes it; opening it again reads its newest segment anew. */
export async function closeArchive(archive: Archive): Promise<void> {
  await closeWriter(archive)
  archive.store.archives.delete(archive.id)
}

async function openOnce(store: Store, id: string, create: boolean): Promise<Archive> {
  if (!ARCHIVE_ID.test(id)) throw fault('ARCHIVE_UNKNOWN', { expected: '32 hex digits' })
  const { disk } = store
  const dir = join(archivesDir(store.home_dir), id)
  try {
    const isThere = (await disk.list(archivesDir(store.home_dir))).includes(id)
    if (!isThere && !create) throw fault('ARCHIVE_UNKNOWN')
    if (!isThere) await disk.makeDirectory(dir)
    // Even if it was there: the process that made it may have been killed before it synced.
    await disk.syncDirectory(archivesDir(store.home_dir))
    await disk.syncDirectory(dir)
    return await recover(store, id, dir)
  } catch (error) {
    if (isFault(error)) throw error
    // What is no error of the system is one of the index.
    if (!SYSTEM_CODE.test(systemCode(error) ?? '')) throw await indexUnreadable(store, error)
    throw storeFault('STORE_UNREADABLE', { found: `${systemCode(error) ?? 'an error'} in ${dir}`, cause: error })
  }
}

async function recover(store: Store, id: string, dir: string): Promise<Archive> {
  const { disk, index } = store
  const id_bytes = Buffer.from(id, 'hex')
  const numbers = await listSegments(disk, dir)
  const newest = numbers.at(-1)
  const found = await readRow(index, id_bytes)
  const isTrue = found !== undefined && (await isRowTrue(disk, dir, found))
  const start: ArchiveRow = isTrue ? found : emptyRow(index)
  const durable_bytes = isTrue && found.segment === newest ? found.offset : 0
  const recovered = newest === undefined ? NO_RECOVERY : await recoverNewest(disk, dir, { archive: id_bytes, segment: newest }, durable_bytes)
  if (newest !== undefined && !recovered.contents) numbers.pop()
  try {
    return await indexed(store, { id, id_bytes, dir, numbers, found, start, recovered })
  } catch (error) {
    await recovered.open?.file.close().catch(() => undefined)
    throw error
  }
}

type Found = {
  readonly id: string
  readonly id_bytes: Buffer
  readonly dir: string
  readonly numbers: readonly number[]
  /** What the index says of the archive, and from where on it is to be brought up to date. */
  readonly found: ArchiveRow | undefined
  readonly start: ArchiveRow
  readonly recovered: Recovered
}

/** The archive, once the index has caught up with its segments. */
async function indexed(store: Store, { id, id_bytes, dir, numbers, found, start, recovered }: Found): Promise<Archive> {
  const { index } = store
  const damage: Damage[] = []
  const onDamage = (range: Damage): void => {
    if (damage.length < DAMAGE_MAX) damage.push(range)
  }
  // The row may end in a segment of which the file is gone: that is damage, and its number is not used again.
  const last = Math.max(numbers.at(-1) ?? 0, found?.segment ?? 0)
  const row = await indexSegments(index, id_bytes, start, contentsFrom(store, dir, id_bytes, { numbers, last, from: start.segment, recovered }), onDamage)
  const archive: Archive = {
    id,
    id_bytes,
    store,
    dir,
    damage,
    isDamaged: row.isDamaged,
    ordinal: row.ordinal,
    recent: new Map(),
    head: row.head,
    records: row.records,
    segments: numbers.length,
    bytes: row.bytes,
    failure: failureOf(recovered),
    committing: Promise.resolve(),
    repairing: undefined,
    writer: { jobs: [], running: undefined, segment: recovered.open, next_number: last + 1, indexed: Promise.resolve() },
  }
  if (found && found !== start) await forgetOrdinal(index, found.ordinal)
  return archive
}

/** On a full disk the archive opens all the same, for reading. */
function failureOf({ failure }: Recovered): Fault | undefined {
  if (failure === undefined) return undefined
  return fault(isNoSpace(failure) ? 'ARCHIVE_FULL' : 'ARCHIVE_FAILED', {
    found: systemCode(failure) ?? 'an error',
    next: 'make room or check the disk, then restart the storage node',
    cause: failure,
  })
}

type Range = { readonly numbers: readonly number[]; readonly last: number; readonly from: number; readonly recovered: Recovered }

/** Contents of the segments from `from` on; those that should be there and are not are named, wherever they were. */
async function* contentsFrom({ disk }: Store, dir: string, archive: Buffer, { numbers, last, from, recovered }: Range): AsyncGenerator<SegmentContents> {
  const there = new Set(numbers)
  const newest = numbers.at(-1)
  for (let segment = 1; segment <= last; segment++) {
    if (!there.has(segment)) yield missingSegment(segment)
    else if (segment < from) continue
    else if (segment === newest && recovered.contents) yield recovered.contents
    else yield await listSegment(disk, dir, { archive, segment }, true)
  }
}

/** What an archive holds; without reading anything. */
export function state(archive: Archive): ArchiveState {
  const head = archive.head && { snapshot: archive.head.id.toString('hex'), sequence: archive.head.sequence }
  return { archive: archive.id, head: head ?? null, records: archive.records, segments: archive.segments, bytes: archive.bytes }
}

/**
 * The committed snapshots, in order of their sequence.
 *
 * @throws ARCHIVE_FAILED  the index cannot be read
 */
export async function snapshots(archive: Archive): Promise<Static<typeof SnapshotRow>[]> {
  await archive.writer.indexed.catch(() => undefined)
  const rows = await readSnapshots(archive)
  // Sequences have no gaps: one that is missing was lost by the index, and stands in the segments.
  if (rows.length === (archive.head?.sequence ?? 0)) return rows
  await repairIndex(archive)
  return readSnapshots(archive)
}

async function readSnapshots({ store, id_bytes, ordinal }: Archive): Promise<Static<typeof SnapshotRow>[]> {
  const rows: Static<typeof SnapshotRow>[] = []
  try {
    for await (const { id, sequence, received_ms } of snapshotEntries(store.index, id_bytes, ordinal)) {
      rows.push({ snapshot: id.toString('hex'), sequence, received_ms })
    }
  } catch (error) {
    throw await indexUnreadable(store, error)
  }
  return rows
}

/** What was found damaged since the archive was opened, in the order found; reindex looks through all of it. */
export const damage = (archive: Archive): readonly Damage[] => archive.damage
