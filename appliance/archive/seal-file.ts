// Ends a segment's file with its footer.
import type { OpenSegment } from './engine.ts'
import { encodeFooter } from './segment-footer.ts'

/**
 * Writes the footer behind everything that is durable in a segment.
 *
 * @returns the footer record, once it is durable
 * @throws  errors of the disk; a part of the footer may stand in the file then
 */
export async function sealFile(segment: OpenSegment, archive: Buffer): Promise<Buffer> {
  const { number, nonce, bytes, rows, snapshots, torn, file } = segment
  const footer = encodeFooter({ place: { archive, segment: number, offset: bytes, nonce }, records: rows, snapshots, torn })
  await file.write([footer], bytes)
  await file.datasync()
  return footer
}
