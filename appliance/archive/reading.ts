// Reads an archive directory without a server, an index or a key: a copy, a mounted disk, with whatever is damaged in it.
// Nothing is written. Only digests are checked here; opening records is for those who have the key.
import { basename, join } from 'node:path'
import { fault } from '#protocol/errors.ts'
import { ID_BYTES, parseRecord, parseRecordHeader, RECORD_HEADER_BYTES, type RecordHeader } from '#protocol/record.ts'
import { type Disk, systemCode } from './disk.ts'
import { fault as storeFault } from './errors.ts'
import type { Damage, Location } from './location.ts'
import { closeFiles, createOpenFiles, type OpenFiles, withFile } from './open-files.ts'
import { realDisk } from './real-disk.ts'
import { firstPlace, readFooter, scanSegment } from './scan-segment.ts'
import { listSegments } from './segment-contents.ts'
import { segmentName } from './segment-records.ts'

export { createLocationMap, type LocationMap } from './location-map.ts'

/** An archive directory that is open for reading. `open_files` belongs to this room. */
export type ArchiveReading = {
  readonly dir: string
  /** Hex id of the archive, from the segments themselves. */
  readonly archive: string
  /** Numbers of the segments that are there, ascending. */
  readonly segments: readonly number[]
  readonly open_files: OpenFiles
}
/** A record of a client. `received_ms`: when the appliance received it, by its clock; 0 if that can't be read any more. */
export type FoundRecord = Location & { readonly header: RecordHeader; readonly received_ms: number }

/**
 * Opens a directory of segments for reading.
 *
 * @throws ARCHIVE_UNKNOWN   there is no segment in it, or none that says which archive it belongs to
 *         STORE_UNREADABLE  the directory cannot be read
 */
export async function openArchiveReading(dir: string, { disk = realDisk }: { disk?: Disk } = {}): Promise<ArchiveReading> {
  try {
    const segments = await listSegments(disk, dir)
    const open_files = createOpenFiles(disk)
    const archive = await archiveOf(open_files, dir, segments)
    if (segments.length === 0 || archive === undefined) {
      await closeFiles(open_files)
      throw fault('ARCHIVE_UNKNOWN', {
        expected: `segments (00000001.segment, …) in ${dir}`,
        found: segments.length === 0 ? 'none' : 'none that is intact',
        next: 'name the directory of one archive',
      })
    }
    return { dir, archive, segments, open_files }
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error
    throw storeFault('STORE_UNREADABLE', { found: `${code} in ${dir}`, cause: error })
  }
}

/** The archive that most of the first segments name; the directory's own name if it is among them, or if they are all damaged. */
async function archiveOf(open_files: OpenFiles, dir: string, segments: readonly number[]): Promise<string | undefined> {
  const votes = new Map<string, number>()
  for (const segment of segments.slice(0, 16)) {
    const named = await archiveIn(open_files, dir, segment)
    if (named) votes.set(named.toString('hex'), (votes.get(named.toString('hex')) ?? 0) + 1)
  }
  const own = basename(dir)
  if (votes.has(own) || (votes.size === 0 && /^[0-9a-f]{32}$/.test(own) && segments.length > 0)) return own
  return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0]
}

/** The archive that a segment names; undefined if nothing in it does, or if the disk does not give it. */
async function archiveIn(open_files: OpenFiles, dir: string, segment: number): Promise<Buffer | undefined> {
  try {
    return await withFile(open_files, join(dir, segmentName(segment)), async file => {
      const first = await firstPlace(file, segment)
      return (first ?? (await scanSegment(file, { segment, archive: undefined, isNewest: false, durable_bytes: 0, verify_from: Infinity }))).archive
    })
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    return undefined
  }
}

/**
 * Every intact record, segment by segment, in disk order; blocks, pages, snapshots, tombstones, custody records.
 *
 * @param onDamage      told what is damaged or torn, after the records of the same segment
 * @param trustFooters  sealed segments are not read through: fast, but damage in them only shows in readRecordAt
 * @throws              errors of the disk on listing; a segment that cannot be read is damage
 */
export async function* recordsOf(
  reading: ArchiveReading,
  options: { onDamage: (damage: Damage) => void; trustFooters?: boolean },
): AsyncGenerator<FoundRecord> {
  const { onDamage, trustFooters = false } = options
  const archive = Buffer.from(reading.archive, 'hex')
  const newest = reading.segments.at(-1) ?? 0
  const there = new Set(reading.segments)
  for (let segment = 1; segment <= newest; segment++) {
    if (!there.has(segment)) {
      onDamage({ segment, offset: 0, length: 0, reason: 'segment' })
      continue
    }
    let found: { records: FoundRecord[]; damage: readonly Damage[] }
    try {
      found = await withFile(reading.open_files, join(reading.dir, segmentName(segment)), file =>
        recordsIn(file, { segment, archive }, segment === newest, trustFooters),
      )
    } catch (error) {
      if (systemCode(error) === undefined) throw error
      found = { records: [], damage: [{ segment, offset: 0, length: 0, reason: 'segment' }] }
    }
    yield* found.records
    found.damage.forEach(onDamage)
  }
}

async function recordsIn(
  file: Parameters<typeof scanSegment>[0],
  place: { segment: number; archive: Buffer },
  isNewest: boolean,
  trustFooters: boolean,
): Promise<{ records: FoundRecord[]; damage: readonly Damage[] }> {
  const { segment } = place
  const footer = await readFooter(file, place)
  if (footer && trustFooters) {
    const received = new Map(footer.snapshots.map(({ row, received_ms }) => [row, received_ms]))
    const records: FoundRecord[] = []
    const head = Buffer.alloc(RECORD_HEADER_BYTES)
    const damage: Damage[] = []
    for (const [row, { id, offset, length }] of footer.records.entries()) {
      await file.read(head, offset)
      const header = parseRecordHeader(Buffer.from(head))
      if (typeof header === 'string' || !header.id.equals(id)) damage.push({ segment, offset, length, reason: 'header', id: id.toString('hex') })
      else records.push({ segment, offset, length, header, received_ms: received.get(row) ?? 0 })
    }
    return { records, damage }
  }
  const scan = await scanSegment(file, { ...place, isNewest: isNewest && !footer, durable_bytes: 0, verify_from: 0 })
  const torn = footer?.torn ?? []
  const isTorn = (range: Damage): boolean => torn.some(row => row.offset <= range.offset && range.offset + range.length <= row.offset + row.length)
  const records = scan.records.map(({ header, offset, length, received_ms }) => ({ segment, offset, length, header, received_ms }))
  const damage: Damage[] = [...scan.damage.map(range => (isTorn(range) ? { ...range, reason: 'torn' as const } : range)), ...scan.torn]
  if (!footer && !isNewest && scan.damage.length === 0) damage.push({ segment, offset: await file.size(), length: 0, reason: 'footer' })
  return { records, damage }
}

/**
 * Reads the whole record at a location and checks its digest.
 *
 * @param id    the id that it must have, if given
 * @param into  memory of the record's length for its bytes; new if left out
 * @throws RECORD_INVALID, RECORD_CUT, RECORD_ALTERED  it is damaged; RECORD_UNKNOWN  another record is there
 */
export async function readRecordAt(reading: ArchiveReading, location: Location, id?: Buffer, into?: Buffer): Promise<Buffer> {
  return withFile(reading.open_files, join(reading.dir, segmentName(location.segment)), async file => {
    const bytes = into ?? Buffer.allocUnsafeSlow(location.length)
    const read_bytes = await file.read(bytes, location.offset)
    const record = parseRecord(bytes.subarray(0, read_bytes))
    if (id && !record.header.id.equals(id.subarray(0, ID_BYTES)))
      throw fault('RECORD_UNKNOWN', { expected: id.toString('hex'), found: record.header.id.toString('hex') })
    return record.bytes
  })
}

/** Closes what is open for reading. */
export const closeReading = (reading: ArchiveReading): Promise<void> => closeFiles(reading.open_files)
