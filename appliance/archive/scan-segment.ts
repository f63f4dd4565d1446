// Reads a segment record by record without any index, past whatever is bad in it, and tells two things apart:
//   damage: bytes that were durable once (a mark or footer behind them proves it, or the index does), and are bad now;
//   torn: what a power cut left of the last write of the newest segment, which nobody was ever told had been stored.
// After a bad header the search goes on at the next well-formed one; after a bad digest behind the record.
// Memory: one window, and a row a record.
import { createHash } from 'node:crypto'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { isFault } from '#protocol/fault.ts'
import { digestOf, KIND, parseRecord, parseRecordHeader, RECORD_HEADER_BYTES, type RecordHeader, recordBytes } from '#protocol/record.ts'
import type { DiskFile } from './disk.ts'
import type { Damage } from './location.ts'
import { FOOTER_TAIL_BYTES, type Footer, footerBytes, parseFooter } from './segment-footer.ts'
import { isOwnKind, MARK_BYTES, type OwnPlace, parseMark, parseOwnId, parseSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-records.ts'

/** A record of a client; `sequence` only for snapshots. All but `offset` and `length` were read from the record itself. */
export type ScannedRecord = {
  readonly header: RecordHeader
  readonly offset: number
  readonly length: number
  readonly received_ms: number
  readonly sequence: number | undefined
}
/** One of the archive's own records, by which the index knows this very state of the segment. */
export type Anchor = { readonly offset: number; readonly crc: number }
export type SegmentScan = {
  readonly records: readonly ScannedRecord[]
  readonly damage: readonly Damage[]
  readonly torn: readonly Damage[]
  /** Behind the last intact record, in bytes from the start. */
  readonly end: number
  /** Everything before this was durable once, as the last mark or footer proves, or the index: bytes from the start. */
  readonly proven_bytes: number
  readonly nonce: Buffer | undefined
  readonly anchor: Anchor | undefined
  readonly isSealed: boolean
  /** The archive that the segment's own records name. */
  readonly archive: Buffer | undefined
}
export type ScanOptions = {
  readonly segment: number
  /** The archive that it must belong to; undefined: whatever its first own record says. */
  readonly archive: Buffer | undefined
  /** Only the newest segment can end in a torn write. */
  readonly isNewest: boolean
  /** Everything before this was durable, as the index knows: bytes from the start. */
  readonly durable_bytes: number
  /** Digests are checked from here on, in bytes from the start. */
  readonly verify_from: number
}

const WINDOW_BYTES = 1024 * 1024
const HOP_BYTES = 4096
const MAGIC = Buffer.from('HFR')

/**
 * Scans a segment.
 *
 * @returns what is in it; nothing is changed
 * @throws  errors of the disk
 */
export async function scanSegment(file: DiskFile, options: ScanOptions): Promise<SegmentScan> {
  const size = await file.size()
  const window = openWindow(file, size)
  const records: ScannedRecord[] = []
  const bad: { offset: number; length: number; reason: Damage['reason']; id?: string }[] = []
  let { archive } = options
  let nonce: Buffer | undefined
  let anchor: Anchor | undefined
  let proven_bytes = options.durable_bytes
  let received_ms = 0
  let isSealed = false
  let isSearching = false
  let at = 0
  let end = 0

  while (at < size) {
    const isVerified = isSearching || at >= options.verify_from
    const head = Buffer.from(await window.view(at, RECORD_HEADER_BYTES, isVerified))
    const header = parseRecordHeader(head)
    if (typeof header === 'string') {
      const next = await nextHeader(file, at + 1, size)
      bad.push({ offset: at, length: next - at, reason: header === 'newer' ? 'newer' : size - at < RECORD_HEADER_BYTES ? 'cut' : 'header' })
      at = next
      isSearching = true
      continue
    }
    const length = recordBytes(header)
    const id = isOwnKind(header.kind) ? {} : { id: header.id.toString('hex') }
    if (at + length > size) {
      bad.push({ offset: at, length: size - at, reason: 'cut', ...id })
      break
    }
    const isOwn = isOwnKind(header.kind)
    if (isOwn && !isInPlace(header)) {
      // One of another archive, segment or place: not to be believed, and neither is its length.
      const next = await nextHeader(file, at + 1, size)
      bad.push({ offset: at, length: next - at, reason: 'segment' })
      at = next
      isSearching = true
      continue
    }
    // What is believed of a record's content is always checked: a snapshot's sequence, and the archive's own records.
    const isBelieved = isOwn || header.kind === KIND.snapshot
    if ((isVerified || isBelieved) && !(await matchesDigest(window, at, header))) {
      bad.push({ offset: at, length, reason: header.kind === KIND.segmentFooter ? 'footer' : 'digest', ...id })
      at += length
      continue
    }
    isSearching = false
    if (isOwn) {
      const own = parseOwnId(header.id)
      archive ??= own.archive
      nonce ??= own.nonce
      anchor = { offset: at, crc: head.readUInt32LE(RECORD_HEADER_BYTES - 4) }
      if (header.kind === KIND.segmentFooter) {
        proven_bytes = Math.max(proven_bytes, at)
        isSealed = at + length === size
      } else {
        const clear = Buffer.from(await window.view(at + RECORD_HEADER_BYTES, Math.min(header.clear_bytes, MARK_BYTES), true))
        const mark = parseMark(header, clear)
        proven_bytes = Math.max(proven_bytes, mark?.durable_bytes ?? 0)
        received_ms = mark?.received_ms ?? parseSegmentHeader(header, clear) ?? received_ms
      }
    } else {
      const sequence = header.kind === KIND.snapshot ? await sequenceOf(file, at, header) : undefined
      records.push({ header, offset: at, length, received_ms, sequence })
    }
    at += length
    end = at
  }

  function isInPlace(header: RecordHeader): boolean {
    const own = parseOwnId(header.id)
    return (
      own.segment === options.segment &&
      own.offset === at &&
      (archive === undefined || own.archive.equals(archive)) &&
      (nonce === undefined || own.nonce.equals(nonce))
    )
  }
  const { damage, torn } = tellApart(bad, options, proven_bytes)
  return { records, damage, torn, end, proven_bytes, nonce, anchor, isSealed, archive }
}

/** Damage is what lies before the last proof of durability, or in a segment that is not the newest; the rest is torn. */
function tellApart(bad: readonly Omit<Damage, 'segment'>[], { segment, isNewest }: ScanOptions, proven_bytes: number): { damage: Damage[]; torn: Damage[] } {
  const damage: Damage[] = []
  const torn: Damage[] = []
  for (const range of bad) {
    const durable = isNewest ? Math.max(0, Math.min(range.length, proven_bytes - range.offset)) : range.length
    if (durable > 0) damage.push({ ...range, segment, length: durable })
    if (durable < range.length) torn.push({ segment, offset: range.offset + durable, length: range.length - durable, reason: 'torn' })
  }
  return { damage, torn }
}

type Window = { view(offset: number, length: number, isSequential: boolean): Promise<Buffer> }

/** A window over a file; a view is valid until the next call. */
function openWindow(file: DiskFile, size: number): Window {
  const buffer = Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, size))
  let start = 0
  let filled = 0
  return {
    async view(offset, length, isSequential) {
      if (offset < start || offset + length > start + filled) {
        const wanted = Math.min(Math.max(length, isSequential ? WINDOW_BYTES : HOP_BYTES), WINDOW_BYTES, Math.max(size - offset, 0))
        start = offset
        filled = await file.read(buffer.subarray(0, wanted), offset)
      }
      return buffer.subarray(offset - start, Math.min(offset - start + length, filled))
    },
  }
}

async function matchesDigest(window: Window, offset: number, header: RecordHeader): Promise<boolean> {
  const hash = createHash('sha256')
  const end = offset + recordBytes(header)
  for (let at = offset + RECORD_HEADER_BYTES; at < end; ) {
    const part = await window.view(at, Math.min(WINDOW_BYTES, end - at), true)
    if (part.length === 0) return false
    hash.update(part)
    at += part.length
  }
  return hash.digest().equals(header.digest)
}

async function sequenceOf(file: DiskFile, offset: number, header: RecordHeader): Promise<number | undefined> {
  const clear = Buffer.alloc(header.clear_bytes)
  await file.read(clear, offset + RECORD_HEADER_BYTES)
  try {
    return parseSnapshotClear(clear).sequence
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

/** Where the next well-formed header begins, or the file's length. */
async function nextHeader(file: DiskFile, from: number, size: number): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, Math.max(size - from, 0)))
  for (let at = from; at < size; ) {
    const read = await file.read(buffer.subarray(0, Math.min(buffer.length, size - at)), at)
    const part = buffer.subarray(0, read)
    for (let found = part.indexOf(MAGIC); found >= 0 && found + RECORD_HEADER_BYTES <= read; found = part.indexOf(MAGIC, found + 1)) {
      if (typeof parseRecordHeader(part, found) !== 'string') return at + found
    }
    if (read < RECORD_HEADER_BYTES || at + read >= size) return size
    at += read - RECORD_HEADER_BYTES + 1
  }
  return size
}

/**
 * Reads the footer that a sealed segment ends with. Its nonce must be that of the segment's beginning: else a client could
 * end its record in a footer, and so hide what stands before it.
 *
 * @param place  the archive and number of the segment that it must belong to
 * @returns      the footer, digest checked; undefined if the segment does not end with an intact one of its own
 * @throws       errors of the disk
 */
export async function readFooter(file: DiskFile, place: { archive: Buffer; segment: number }): Promise<(Footer & { anchor: Anchor }) | undefined> {
  const size = await file.size()
  const tail = Buffer.alloc(FOOTER_TAIL_BYTES)
  if (size < FOOTER_TAIL_BYTES || (await file.read(tail, size - FOOTER_TAIL_BYTES)) < FOOTER_TAIL_BYTES) return undefined
  const length = footerBytes(tail)
  if (length === undefined || length > size || length < RECORD_HEADER_BYTES) return undefined
  const head = Buffer.alloc(RECORD_HEADER_BYTES)
  await file.read(head, size - length)
  const header = parseRecordHeader(head)
  if (typeof header === 'string' || header.kind !== KIND.segmentFooter || recordBytes(header) !== length) return undefined
  const bytes = Buffer.alloc(length)
  await file.read(bytes, size - length)
  try {
    const footer = parseFooter(parseRecord(bytes))
    if (!footer || footer.place.segment !== place.segment || footer.place.offset !== size - length) return undefined
    if (!footer.place.archive.equals(place.archive)) return undefined
    const first = await firstPlace(file, place.segment)
    if (first?.archive.equals(place.archive) && !first.nonce.equals(footer.place.nonce)) return undefined
    return { ...footer, anchor: { offset: size - length, crc: head.readUInt32LE(RECORD_HEADER_BYTES - 4) } }
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

/**
 * What a segment's own records say at its beginning: its header, or the mark behind it if the header is damaged.
 *
 * @returns undefined if neither is intact and in its place; the archive that they name is for the caller to check
 * @throws  errors of the disk
 */
export async function firstPlace(file: DiskFile, segment: number): Promise<OwnPlace | undefined> {
  const start = Buffer.alloc(SEGMENT_HEADER_BYTES + MARK_BYTES)
  const read_bytes = await file.read(start, 0)
  for (const [at, kind] of [
    [0, KIND.segmentHeader],
    [SEGMENT_HEADER_BYTES, KIND.segmentMark],
  ] as const) {
    const header = parseRecordHeader(start.subarray(0, read_bytes), at)
    if (typeof header === 'string' || header.kind !== kind || at + recordBytes(header) > read_bytes) continue
    const own = parseOwnId(header.id)
    const isIntact = digestOf(start.subarray(at + RECORD_HEADER_BYTES, at + recordBytes(header))).equals(header.digest)
    if (isIntact && own.segment === segment && own.offset === at) return own
  }
  return undefined
}
