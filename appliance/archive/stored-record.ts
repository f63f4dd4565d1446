// Reads one stored record and says whether it is what it should be.
import { join } from 'node:path'
import { fault } from '#protocol/errors.ts'
import { isFault } from '#protocol/fault.ts'
import { digestOf, parseRecordHeader, RECORD_HEADER_BYTES, type RecordHeader, recordBytes } from '#protocol/record.ts'
import { type DiskFile, systemCode } from './disk.ts'
import type { Archive } from './engine.ts'
import type { Location } from './location.ts'
import { withFile } from './open-files.ts'
import { segmentName } from './segment-records.ts'

/**
 * Runs `use` with a segment open for reading.
 *
 * @throws ARCHIVE_DAMAGED  the disk does not give the bytes, or the file is gone; and what `use` throws
 */
export async function withSegment<Result>(archive: Archive, segment: number, use: (file: DiskFile) => Promise<Result>): Promise<Result> {
  try {
    return await withFile(archive.store.files, join(archive.dir, segmentName(segment)), use)
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined || isFault(error)) throw error
    throw fault('ARCHIVE_DAMAGED', {
      expected: `segment ${segment}`,
      found: code,
      next: 'check the disk of the storage node',
      facts: { segment },
      cause: error,
    })
  }
}

/**
 * Reads a stored record's header and clear part.
 *
 * @returns undefined if another record than `id`, or none, is there; the digest is not checked
 * @throws  ARCHIVE_DAMAGED  the disk does not give the bytes
 */
export async function readClear(archive: Archive, location: Location, id: Buffer): Promise<{ header: RecordHeader; clear: Buffer } | undefined> {
  return withSegment(archive, location.segment, async file => {
    const head = Buffer.alloc(RECORD_HEADER_BYTES)
    const header = (await file.read(head, location.offset)) === head.length ? parseRecordHeader(head) : 'cut'
    if (!isRecordOf(header, location, id)) return undefined
    const clear = Buffer.alloc(header.clear_bytes)
    return (await file.read(clear, location.offset + RECORD_HEADER_BYTES)) === clear.length ? { header, clear } : undefined
  })
}

/**
 * Reads a whole stored record and checks its digest.
 *
 * @returns undefined if it is not intact
 * @throws  ARCHIVE_DAMAGED  the disk does not give the bytes
 */
export async function readIntact(archive: Archive, location: Location, id: Buffer): Promise<{ header: RecordHeader; bytes: Buffer } | undefined> {
  return withSegment(archive, location.segment, async file => {
    const bytes = Buffer.allocUnsafeSlow(location.length)
    if ((await file.read(bytes, location.offset)) < bytes.length) return undefined
    const header = parseRecordHeader(bytes)
    return isRecordOf(header, location, id) && digestOf(bytes.subarray(RECORD_HEADER_BYTES)).equals(header.digest) ? { header, bytes } : undefined
  })
}

/** Whether a header belongs to the record that should be at a location. */
export function isRecordOf(header: ReturnType<typeof parseRecordHeader>, location: Location, id: Buffer): header is RecordHeader {
  return typeof header !== 'string' && recordBytes(header) === location.length && header.id.equals(id)
}
