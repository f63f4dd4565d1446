// Brings the newest segment of an archive back into a state that can be appended to, after whatever happened. Invariants:
//   what nothing proves durable is written again and flushed before it is believed: a process that was killed may have
//   left records that are whole in memory and not on the disk, and a flush that failed once is not to be asked again,
//   because the system has forgotten by then what it could not write;
//   only torn bytes are cut off, and never an intact record, be it acknowledged or not; damage stays where it is;
//   where intact records lie behind torn bytes, the segment is sealed, and its footer says which bytes were torn.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type Disk, type DiskFile, isNoSpace } from './disk.ts'
import type { OpenSegment } from './engine.ts'
import { readFooter, type SegmentScan, scanSegment } from './scan-segment.ts'
import { sealFile } from './seal-file.ts'
import { contentsOfScan, listSegment, type SegmentContents } from './segment-contents.ts'
import { headerCrc, NONCE_BYTES, segmentName } from './segment-records.ts'

const COPY_BYTES = 1024 * 1024

export type Recovered = {
  /** What is in it; undefined if nothing was, and the file was removed. */
  readonly contents: SegmentContents | undefined
  /** The segment, open for appending, if it is not sealed. */
  readonly open: OpenSegment | undefined
  /** Why nothing can be appended: it had to be sealed, and could not be, most likely because the disk is full. */
  readonly failure: unknown
  /** Bytes that were cut off, or will be called torn. */
  readonly torn_bytes: number
}

/**
 * Recovers the newest segment; what it cut off is gone durably when it returns.
 *
 * @param durable_bytes  everything before this was durable, as the index knows: bytes from the start
 * @throws               errors of the disk
 */
export async function recoverNewest(disk: Disk, dir: string, place: { archive: Buffer; segment: number }, durable_bytes: number): Promise<Recovered> {
  const path = join(dir, segmentName(place.segment))
  const file = await disk.open(path, 'append')
  try {
    const footer = await readFooter(file, place)
    if (footer) {
      const failure = await writeAgain(file, footer.anchor.offset, await file.size())
      await file.close()
      const contents = await listSegment(disk, dir, place, true)
      const bytes = failure === undefined ? contents.bytes : Math.min(contents.bytes, footer.anchor.offset)
      return { contents: { ...contents, bytes }, open: undefined, failure, torn_bytes: 0 }
    }
    const scan = await scanSegment(file, { ...place, isNewest: true, durable_bytes, verify_from: durable_bytes })
    return await settle(disk, path, file, place, scan)
  } catch (error) {
    await file.close().catch(() => undefined)
    throw error
  }
}

async function settle(disk: Disk, path: string, file: DiskFile, place: { archive: Buffer; segment: number }, scan: SegmentScan): Promise<Recovered> {
  const torn_bytes = scan.torn.reduce((sum, { length }) => sum + length, 0)
  const contents = contentsOfScan(place.segment, scan)
  if (scan.end === 0 && scan.damage.length === 0) {
    await file.close()
    await disk.remove(path)
    await disk.syncDirectory(join(path, '..'))
    return { contents: undefined, open: undefined, failure: undefined, torn_bytes }
  }
  // Behind the damage nothing can be appended unless the end of it is known.
  const end = Math.max(scan.end, ...scan.damage.map(({ offset, length }) => offset + length))
  if (end < (await file.size())) await file.truncate(end)
  const full = await writeAgain(file, Math.min(scan.proven_bytes, end), end)
  if (full !== undefined) {
    await file.close()
    return { contents: { ...contents, bytes: Math.min(scan.proven_bytes, end) }, open: undefined, failure: full, torn_bytes }
  }
  const open: OpenSegment = {
    number: place.segment,
    path,
    file,
    nonce: scan.nonce ?? randomBytes(NONCE_BYTES),
    rows: scan.records.map(({ header, offset, length }) => ({ id: header.id, kind: header.kind, offset, length })),
    snapshots: [],
    torn: scan.torn.filter(({ offset }) => offset < end).map(({ offset, length }) => ({ offset, length })),
    bytes: end,
    anchor: scan.anchor ?? { offset: 0, crc: 0 },
  }
  scan.records.forEach(({ sequence, received_ms }, row) => {
    if (sequence !== undefined) open.snapshots.push({ row, sequence, received_ms })
  })
  if (open.torn.length === 0 && scan.nonce !== undefined) return { contents: { ...contents, bytes: end }, open, failure: undefined, torn_bytes }
  // The index may only reach over torn bytes once the footer says that they are: else they would be taken for damage.
  try {
    const footer = await sealFile(open, place.archive)
    await file.close()
    return {
      contents: { ...contents, bytes: end + footer.length, anchor: { offset: end, crc: headerCrc(footer) } },
      open: undefined,
      failure: undefined,
      torn_bytes,
    }
  } catch (failure) {
    await file.close()
    return { contents: { ...contents, bytes: Math.min(end, ...open.torn.map(({ offset }) => offset)) }, open: undefined, failure, torn_bytes }
  }
}

/**
 * Writes bytes of a file over themselves, and flushes it.
 *
 * @returns the error, if the disk is full: some file systems need room even for that
 */
async function writeAgain(file: DiskFile, from: number, until: number): Promise<unknown> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, until - from))
  try {
    for (let at = from; at < until; ) {
      const part = buffer.subarray(0, await file.read(buffer.subarray(0, Math.min(buffer.length, until - at)), at))
      if (part.length === 0) break
      await file.write([part], at)
      at += part.length
    }
    await file.datasync()
    return undefined
  } catch (error) {
    if (isNoSpace(error)) return error
    throw error
  }
}
