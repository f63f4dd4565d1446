// Makes the index of an archive again from its segments alone, and names all damage met on the way.
import { fault } from '#protocol/errors.ts'
import { openArchive } from './archive.ts'
import { type ArchiveRow, type Entry, find, forgetOrdinal, markDamaged } from './archive-index.ts'
import type { Archive, Store } from './engine.ts'
import { emptyRow, indexSegments } from './index-archive.ts'
import type { Damage } from './location.ts'
import { scanSegment } from './scan-segment.ts'
import { contentsOfScan, listSegment, listSegments, missingSegment, notIntact, type SegmentContents } from './segment-contents.ts'
import { runAlone } from './segment-writer.ts'
import { listArchives } from './store.ts'

export type Reindexed = { readonly archive: string; readonly segments: number; readonly records: number; readonly damage: readonly Damage[] }
export type ReindexOptions = {
  /** Reads everything through and checks each digest, instead of the footers of sealed segments only. */
  readonly isThorough?: boolean
}

/**
 * Indexes one archive anew, or all of them, one after the other. Look-ups and reads go on meanwhile with the index of
 * before; appends wait.
 *
 * @returns what was found; records that are damaged are not in the index any more, and count as missing
 * @throws ARCHIVE_UNKNOWN; ARCHIVE_FAILED  the index cannot be written; errors of the disk
 */
export async function reindex(store: Store, archiveId?: string, options: ReindexOptions = {}): Promise<Reindexed[]> {
  const done: Reindexed[] = []
  for (const id of archiveId === undefined ? await listArchives(store) : [archiveId]) {
    const archive = await openArchive(store, id, { create: false })
    done.push(await runAlone(archive, () => reindexAlone(archive, options.isThorough ?? false)))
  }
  return done
}

async function reindexAlone(archive: Archive, isThorough: boolean): Promise<Reindexed> {
  const { store, id_bytes, dir } = archive
  const damage: Damage[] = []
  const damaged: Entry[] = []
  const numbers = await listSegments(store.disk, dir)
  await archive.writer.indexed.catch(() => undefined)
  let row: ArchiveRow
  try {
    row = await indexSegments(store.index, id_bytes, emptyRow(store.index), contents(archive, numbers, isThorough, damaged), range => damage.push(range))
    // Of some there may be an intact copy elsewhere.
    const copies = await find(store.index, id_bytes, row.ordinal, Buffer.concat(damaged.map(({ id }) => id)))
    await markDamaged(
      store.index,
      id_bytes,
      row.ordinal,
      damaged.filter((_, i) => copies[i] === undefined),
    )
  } catch (error) {
    throw fault('ARCHIVE_FAILED', { found: 'the archive could not be indexed', cause: error })
  }
  const before = archive.ordinal
  archive.ordinal = row.ordinal
  archive.head = row.head
  archive.isDamaged = row.isDamaged
  archive.records = row.records
  archive.bytes = row.bytes
  archive.segments = numbers.length
  archive.damage.splice(0, Infinity, ...damage)
  archive.repairing = undefined
  await forgetOrdinal(store.index, before)
  return { archive: archive.id, segments: numbers.length, records: row.records, damage }
}

/** Contents of all segments; of those that are read through, what is damaged is added to `damaged`. */
async function* contents(archive: Archive, numbers: readonly number[], isThorough: boolean, damaged: Entry[]): AsyncGenerator<SegmentContents> {
  const { store, id_bytes, dir, writer } = archive
  const there = new Set(numbers)
  for (let segment = 1; segment < writer.next_number; segment++) {
    const open = writer.segment?.number === segment ? writer.segment : undefined
    if (!there.has(segment)) yield missingSegment(segment)
    else if (open) {
      // No write is under way: everything in it is durable.
      const scan = await scanSegment(open.file, { segment, archive: id_bytes, isNewest: false, durable_bytes: open.bytes, verify_from: 0 })
      const damage = scan.damage.filter(({ offset, length }) => !open.torn.some(torn => torn.offset <= offset && offset + length <= torn.offset + torn.length))
      damaged.push(...notIntact(segment, open.rows, scan), ...contentsOfScan(segment, scan).damaged)
      yield { ...contentsOfScan(segment, scan), damage, bytes: open.bytes, anchor: open.anchor }
    } else {
      const listed = await listSegment(store.disk, dir, { archive: id_bytes, segment }, !isThorough)
      damaged.push(...listed.damaged)
      yield listed
    }
  }
}
