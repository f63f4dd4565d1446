// Reading many records at once, in the order in which they lie on disk. Records that lie close together are read in one
// go; the next piece is read while the last one is being sent. Memory: two pieces, however much is read.
import { fault } from '#protocol/errors.ts'
import { ID_BYTES, parseRecordHeader, RECORD_HEADER_BYTES } from '#protocol/record.ts'
import type { Archive } from './engine.ts'
import { inDiskOrder, type Location } from './location.ts'
import { checkIds, idAt, locate } from './lookup.ts'
import { noteDamage } from './note-damage.ts'
import { repairIndex } from './repair-index.ts'
import { isRecordOf, withSegment } from './stored-record.ts'

/** One read of the disk, in bytes. */
const PIECE_BYTES = 1024 * 1024
/** Bytes between two records that are read and thrown away rather than starting another read. */
const GAP_BYTES_MAX = 16 * 1024
const UNKNOWN_TOLD_MAX = 100

type Wanted = Location & { readonly id: Buffer }
/** Bytes of one segment to be read at once, and which of them are wanted. */
type Piece = {
  readonly segment: number
  readonly offset: number
  length: number
  readonly parts: { offset: number; length: number; begins: Wanted | undefined }[]
}

/**
 * Reads records. Each is given once, whole, in disk order; a chunk may hold many records, or a part of one.
 *
 * @param ids  joined ids, 32 bytes each
 * @returns    once all are known to be there: how many bytes will come, and the chunks, which belong to whoever gets them.
 *             While they are read, ARCHIVE_DAMAGED is thrown if another record than the one wanted, or none, is found; the
 *             digests are not checked: whoever opens the records does. Stopping early leaves nothing open.
 * @throws RECORD_INVALID   not a list of 32-byte ids
 *         RECORD_UNKNOWN   some are not there; facts: ids (the first hundred)
 *         ARCHIVE_FAILED   the index cannot be read
 */
export async function read(archive: Archive, ids: Buffer): Promise<{ readonly bytes: number; readonly chunks: AsyncIterable<Buffer> }> {
  checkIds(ids)
  let locations = await locate(archive, ids)
  if (locations.includes(undefined)) {
    await repairIndex(archive)
    locations = await locate(archive, ids)
  }
  const unknown: string[] = []
  const wanted: Wanted[] = []
  const seen = new Set<string>()
  for (let i = 0; i * ID_BYTES < ids.length; i++) {
    const location = locations[i]
    const id = idAt(ids, i)
    if (!location) unknown.push(id.toString('hex'))
    else if (!seen.has(placeName(location))) {
      seen.add(placeName(location))
      wanted.push({ ...location, id })
    }
  }
  if (unknown.length > 0) throw fault('RECORD_UNKNOWN', { found: `${unknown.length} unknown ids`, facts: { ids: unknown.slice(0, UNKNOWN_TOLD_MAX) } })
  wanted.sort(inDiskOrder)
  return { bytes: wanted.reduce((sum, { length }) => sum + length, 0), chunks: chunksOf(archive, piecesOf(wanted)) }
}

const placeName = ({ segment, offset }: Location): string => `${segment}:${offset}`

function* piecesOf(wanted: readonly Wanted[]): Generator<Piece> {
  let piece: Piece | undefined
  for (const record of wanted) {
    const end = record.offset + record.length
    for (let at = record.offset; at < end; ) {
      const isNear = piece?.segment === record.segment && at >= piece.offset + piece.length && at - (piece.offset + piece.length) <= GAP_BYTES_MAX
      // A header is never cut in two: it is checked where it is read.
      const room = piece && isNear ? piece.offset + PIECE_BYTES - at : 0
      if (!piece || room < RECORD_HEADER_BYTES) {
        if (piece) yield piece
        piece = { segment: record.segment, offset: at, length: 0, parts: [] }
      }
      const length = Math.min(end - at, piece.offset + PIECE_BYTES - at)
      piece.parts.push({ offset: at, length, begins: at === record.offset ? record : undefined })
      piece.length = at + length - piece.offset
      at += length
    }
  }
  if (piece) yield piece
}

async function* chunksOf(archive: Archive, pieces: Generator<Piece>): AsyncGenerator<Buffer> {
  const load = (): Promise<Buffer[]> | undefined => {
    const next = pieces.next()
    if (next.done) return undefined
    const loading = readPiece(archive, next.value)
    // It may fail while the consumer is busy with the piece before; it is thrown when its turn comes.
    loading.catch(() => undefined)
    return loading
  }
  let loading = load()
  while (loading) {
    const chunks: Buffer[] = await loading
    loading = load()
    for (const chunk of chunks) yield chunk
  }
}

async function readPiece(archive: Archive, piece: Piece): Promise<Buffer[]> {
  const bytes = Buffer.allocUnsafeSlow(piece.length)
  const read_bytes = await withSegment(archive, piece.segment, file => file.read(bytes, piece.offset))
  const chunks: Buffer[] = []
  let start = 0
  let end = 0
  for (const { offset, length, begins } of piece.parts) {
    const at = offset - piece.offset
    if (at + length > read_bytes || (begins && !isRecordOf(parseRecordHeader(bytes, at), begins, begins.id))) await damaged(archive, piece, offset, begins)
    // Parts that lie behind one another go out as one chunk.
    if (at !== end) {
      if (end > start) chunks.push(bytes.subarray(start, end))
      start = at
    }
    end = at + length
  }
  chunks.push(bytes.subarray(start, end))
  return chunks
}

/** Names the damage; from then on the record counts as missing, and is sent again. */
async function damaged(archive: Archive, { segment }: Piece, offset: number, record: Wanted | undefined): Promise<never> {
  if (record) await noteDamage(archive, record, record.id)
  const id = record?.id.toString('hex')
  throw fault('ARCHIVE_DAMAGED', {
    expected: `record ${id ?? ''} in segment ${segment} at ${offset}`,
    found: 'something else',
    facts: { segment, offset, ...(id ? { id } : {}) },
  })
}
