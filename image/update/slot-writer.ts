// Writes one part of a release to a partition, and reads back what was written.
import { createHash } from 'node:crypto'
import { fault } from './errors.ts'
import type { Artifact } from './manifest.ts'
import { alignedBuffer, type MediaFile, PIECE_BYTES } from './media.ts'

/**
 * Writes what comes; durable when it returns.
 *
 * @param source  a multiple of BLOCK_BYTES, and not more than the partition has
 * @param wrote   is told how far it is, in bytes
 */
export async function writeSlot(file: MediaFile, source: AsyncIterable<Uint8Array>, wrote: (bytes: number) => void): Promise<void> {
  const stage = alignedBuffer()
  let filled = 0
  let position = 0
  const flush = async (): Promise<void> => {
    await file.write([stage.subarray(0, filled)], position)
    position += filled
    filled = 0
    wrote(position)
  }
  for await (const piece of source) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + PIECE_BYTES - filled)
      stage.set(part, filled)
      filled += part.length
      at += part.length
      if (filled === PIECE_BYTES) await flush()
    }
  }
  if (filled > 0) await flush()
  await file.datasync()
}

/**
 * Compares what lies on a medium with what should.
 *
 * @param seen  what a piece stands for, by its position
 * @throws SLOT_UNWRITABLE
 */
export async function checkWritten(file: MediaFile, artifact: Artifact, seen: (piece: Buffer, position: number) => Buffer = piece => piece): Promise<void> {
  const hash = createHash('sha256')
  const stage = alignedBuffer()
  for (let position = 0; position < artifact.bytes; position += PIECE_BYTES) {
    const piece = stage.subarray(0, Math.min(await file.read(stage, position), artifact.bytes - position))
    hash.update(seen(piece, position))
  }
  if (hash.digest('hex') !== artifact.sha256) throw fault('SLOT_UNWRITABLE', { expected: 'what was written', found: 'something else' })
}

/** Passes an artifact on, and throws at its end unless it was what the manifest says. @throws UPDATE_DAMAGED */
export async function* checked(source: AsyncIterable<Uint8Array>, artifact: Artifact): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for await (const piece of source) {
    hash.update(piece)
    yield piece
  }
  if (hash.digest('hex') !== artifact.sha256) throw fault('UPDATE_DAMAGED', { expected: 'the content that the manifest says', found: 'another' })
}
