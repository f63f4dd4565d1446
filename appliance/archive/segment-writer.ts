// Appends records to the newest segment of an archive. Invariants:
//   calls made while a flush runs share the next one: one writev, one fdatasync, however many callers (group commit);
//   a group is only written after the flush of the group before it returned, which its mark proves to every reader;
//   a segment's footer is only written, and the next segment only made, after the flush of everything before;
//   a failed write is cut off again; if that fails too, or a flush does, nothing more is written until the archive is opened
//   again, because what the disk holds is not known then.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fault } from '#protocol/errors.ts'
import { Fault } from '#protocol/fault.ts'
import { recordBytes } from '#protocol/record.ts'
import { type Entry, type SnapshotEntry, write } from './archive-index.ts'
import { isNoSpace, systemCode } from './disk.ts'
import { type Archive, type OpenSegment, type Placed, recentKey, type ToWrite, type WriteJob } from './engine.ts'
import { noteIndexFailed } from './index-failed.ts'
import { sealFile } from './seal-file.ts'
import {
  encodeMark,
  encodeSegmentHeader,
  headerCrc,
  NONCE_BYTES,
  type OwnPlace,
  SEGMENT_HEADER_BYTES,
  SEGMENT_RECORDS_MAX,
  segmentName,
} from './segment-records.ts'

/** One group takes calls up to so many bytes; what waits beyond goes into the next. */
const GROUP_BYTES_MAX = 64 * 1024 * 1024
/** Not yet indexed records of an archive at which its next flush waits for the index. */
const RECENT_MAX = 131_072

/**
 * Writes records of one call, in order.
 *
 * @returns where each is, once all are durable
 * @throws ARCHIVE_FULL    the volume's reserve would be used, or the volume is full; some of them may have been stored
 *         ARCHIVE_FAILED  a write or flush failed; the archive is read-only until it is opened again
 */
export async function writeRecords(archive: Archive, records: readonly ToWrite[]): Promise<Placed[]> {
  const placed: Placed[] = []
  const bytes = records.reduce((sum, { framed }) => sum + recordBytes(framed.header), 0)
  await new Promise<void>((resolve, reject) => {
    archive.writer.jobs.push({ records, bytes, placed, resolve, reject })
    archive.writer.running ??= runJobs(archive)
  })
  return placed
}

/** Runs something while no record is written; records that arrive meanwhile wait. */
export function runAlone<Result>(archive: Archive, run: () => Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    archive.writer.jobs.push({ run: () => run().then(resolve, reject) })
    archive.writer.running ??= runJobs(archive)
  })
}

/** Waits for what is being written, and closes the segment. */
export async function closeWriter(archive: Archive): Promise<void> {
  await archive.writer.running
  archive.failure ??= fault('ARCHIVE_FAILED', { found: 'the archive is closed' })
  await archive.writer.indexed.catch(() => undefined)
  await archive.writer.segment?.file.close()
  archive.writer.segment = undefined
}

async function runJobs(archive: Archive): Promise<void> {
  const { writer } = archive
  await Promise.resolve()
  for (let job = writer.jobs[0]; job !== undefined; job = writer.jobs[0]) {
    if ('run' in job) {
      writer.jobs.shift()
      await job.run()
      continue
    }
    const group = takeGroup(archive)
    try {
      await writeGroup(archive, group)
      for (const { resolve } of group) resolve()
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
    // After the acknowledgement, so that nobody waits for the footer unless the next group is here already.
    await sealIfFull(archive).catch(() => undefined)
  }
  writer.running = undefined
}

function takeGroup({ writer }: Archive): WriteJob[] {
  const group: WriteJob[] = []
  let bytes = 0
  for (let job = writer.jobs[0]; job !== undefined && 'records' in job && (group.length === 0 || bytes + job.bytes <= GROUP_BYTES_MAX); job = writer.jobs[0]) {
    writer.jobs.shift()
    group.push(job)
    bytes += job.bytes
  }
  return group
}

async function writeGroup(archive: Archive, group: readonly WriteJob[]): Promise<void> {
  const { store, writer } = archive
  if (archive.failure) throw archive.failure
  const bytes = group.reduce((sum, job) => sum + job.bytes, 0)
  const free_bytes = await store.disk.freeBytes(archive.dir)
  if (free_bytes - bytes < store.reserve_bytes) {
    throw fault('ARCHIVE_FULL', {
      expected: `${store.reserve_bytes + bytes} free bytes, of which ${store.reserve_bytes} are kept in reserve`,
      found: `${free_bytes}`,
    })
  }
  if (archive.recent.size > RECENT_MAX) await writer.indexed.catch(() => undefined)
  const records = group.flatMap(job => job.records.map(record => ({ ...record, placed: job.placed })))
  for (let done = 0; done < records.length; ) {
    await sealIfFull(archive)
    const segment = writer.segment ?? (await openSegment(archive))
    let length = segment.bytes
    let until = done
    while (until < records.length && length < store.segment_bytes && segment.rows.length + until - done < SEGMENT_RECORDS_MAX) {
      length += recordBytes((records[until++] as ToWrite).framed.header)
    }
    await writePart(archive, segment, records.slice(done, until))
    done = until
  }
}

async function openSegment(archive: Archive): Promise<OpenSegment> {
  const { store, writer } = archive
  const number = writer.next_number
  const path = join(archive.dir, segmentName(number))
  try {
    const file = await store.disk.open(path, 'create')
    writer.segment = { number, path, file, nonce: randomBytes(NONCE_BYTES), rows: [], snapshots: [], torn: [], bytes: 0, anchor: { offset: 0, crc: 0 } }
    writer.next_number++
    archive.segments++
    return writer.segment
  } catch (error) {
    if (isNoSpace(error)) throw fault('ARCHIVE_FULL', { cause: error })
    throw fail(archive, error)
  }
}

/** Writes and flushes one mark and records behind it; the first time in a segment its header too, and its directory entry. */
async function writePart(archive: Archive, segment: OpenSegment, records: readonly (ToWrite & { placed: Placed[] })[]): Promise<void> {
  const { store } = archive
  const received_ms = store.now()
  const position = segment.bytes
  const isNew = position === 0
  const place = (offset: number): OwnPlace => ({ archive: archive.id_bytes, segment: segment.number, offset, nonce: segment.nonce })
  const mark_at = isNew ? SEGMENT_HEADER_BYTES : position
  const mark = encodeMark(place(mark_at), { received_ms, durable_bytes: position })
  const pieces: Uint8Array[] = isNew ? [encodeSegmentHeader(place(0), received_ms), mark] : [mark]
  for (const { framed } of records) for (const piece of framed.pieces) pieces.push(piece)
  try {
    await segment.file.write(pieces, position)
  } catch (error) {
    throw await takeBack(archive, segment, error)
  }
  try {
    await segment.file.datasync()
    if (isNew) await store.disk.syncDirectory(archive.dir)
  } catch (error) {
    await takeBack(archive, segment, error)
    throw fail(archive, error)
  }
  let offset = mark_at + mark.length
  const entries: Entry[] = []
  const snapshots: SnapshotEntry[] = []
  for (const { framed, sequence, placed } of records) {
    const { header } = framed
    const length = recordBytes(header)
    const location: Placed = { segment: segment.number, offset, length, received_ms }
    const id = Buffer.from(header.id)
    placed.push(location)
    entries.push({ ...location, id })
    segment.rows.push({ id, kind: header.kind, offset, length })
    if (sequence !== undefined) {
      segment.snapshots.push({ row: segment.rows.length - 1, sequence, received_ms })
      snapshots.push({ id, sequence, received_ms })
      archive.head = { id, sequence }
    }
    const recent = archive.recent.get(recentKey(id))
    if (recent) recent.location = location
    offset += length
  }
  segment.bytes = offset
  segment.anchor = { offset: mark_at, crc: headerCrc(mark) }
  archive.records += records.length
  archive.bytes += offset - position
  indexLater(archive, segment, entries, snapshots)
}

/** Puts durable records into the index; they leave `recent` once they can be found there. */
function indexLater(archive: Archive, segment: OpenSegment, entries: readonly Entry[], snapshots: readonly SnapshotEntry[]): void {
  const { store, writer, ordinal, records, bytes, head, isDamaged } = archive
  const row = { ordinal, segment: segment.number, offset: segment.bytes, anchor: segment.anchor, records, bytes, head, isDamaged }
  const indexed = write(store.index, { archive: archive.id_bytes, row, entries, snapshots }).then(() => {
    for (const entry of entries) {
      const key = recentKey(entry.id)
      const location = archive.recent.get(key)?.location
      if (location?.segment === entry.segment && location.offset === entry.offset) archive.recent.delete(key)
    }
  })
  writer.indexed = indexed
  indexed.catch((error: unknown) => {
    archive.failure ??= fault('ARCHIVE_FAILED', {
      found: 'the index cannot be written',
      next: 'check the disk of the storage node, then restart it: the index is made again',
      cause: error,
    })
    void noteIndexFailed(store)
  })
}

async function sealIfFull(archive: Archive): Promise<void> {
  const { segment } = archive.writer
  if (segment && (segment.bytes >= archive.store.segment_bytes || segment.rows.length >= SEGMENT_RECORDS_MAX)) await seal(archive, segment)
}

/**
 * Ends a segment with its footer, durable, and closes it.
 *
 * @throws ARCHIVE_FULL, ARCHIVE_FAILED as writeRecords; the segment stays open
 */
async function seal(archive: Archive, segment: OpenSegment): Promise<void> {
  if (archive.failure) throw archive.failure
  try {
    archive.bytes += (await sealFile(segment, archive.id_bytes)).length
  } catch (error) {
    throw await takeBack(archive, segment, error)
  }
  archive.writer.segment = undefined
  await segment.file.close()
}

/** Cuts off what a failed write may have left behind, and says what the callers are told. */
async function takeBack(archive: Archive, segment: OpenSegment, error: unknown): Promise<Fault> {
  try {
    if (segment.bytes === 0) {
      archive.writer.segment = undefined
      archive.writer.next_number = segment.number
      archive.segments--
      await segment.file.close()
      await archive.store.disk.remove(segment.path)
    } else {
      await segment.file.truncate(segment.bytes)
      await segment.file.datasync()
    }
  } catch (second) {
    return fail(archive, second)
  }
  return isNoSpace(error) ? fault('ARCHIVE_FULL', { found: systemCode(error) ?? '', cause: error }) : fail(archive, error)
}

function fail(archive: Archive, error: unknown): Fault {
  archive.failure ??= error instanceof Fault ? error : fault('ARCHIVE_FAILED', { found: systemCode(error) ?? 'an error', cause: error })
  return archive.failure
}
