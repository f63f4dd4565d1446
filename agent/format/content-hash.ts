// The keyed hash of a whole file's content, kept in its page entry: says whether a file is stored already, and whether
// a restored one is right. Three ways, told apart by length, so that no byte is hashed more often than needed:
//   up to 4,096 bytes             keyed BLAKE2b-256(K_content, content): its set-up is cheap
//   under SMALL_FILE_BYTES        HMAC-SHA-256(K_content, content): faster by the byte (processors have SHA-256)
//   SMALL_FILE_BYTES and more     HMAC-SHA-256(K_extents, block id ‖ offset u32 LE ‖ length u32 LE of each extent in
//                                 order): the blocks' ids are hashes of the content already
// Measured on one core, 2 KB / 64 KB / 1 MB: HMAC-SHA-256 4.2 / 40 / 603 µs, keyed BLAKE2b 2.4 / 62 / 983 µs
// (they meet at 5 KB). "Content" is what is stored: data without holes.
import assert from 'node:assert/strict'
import { createHmac, type Hmac } from 'node:crypto'
import sodium from 'sodium-native'
import { SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { type ArchiveKeys, KEY_BYTES } from './keys.ts'

export const CONTENT_HASH_BYTES = 32
export const BLAKE_CONTENT_BYTES_MAX = 4096

/**
 * The hash of content that is at hand as a whole.
 *
 * @param content  1 to SMALL_FILE_BYTES - 1 bytes
 * @returns        32 bytes
 */
export function hashContent(keys: ArchiveKeys, content: Uint8Array): Buffer {
  assert(content.length > 0 && content.length < SMALL_FILE_BYTES && keys.content.length === KEY_BYTES)
  if (content.length > BLAKE_CONTENT_BYTES_MAX) return createHmac('sha256', keys.content).update(content).digest()
  const hash = Buffer.allocUnsafe(CONTENT_HASH_BYTES)
  sodium.crypto_generichash(hash, content, keys.content)
  return hash
}

/** The hash of content of SMALL_FILE_BYTES and more, fed by its extents in order. */
export type ExtentsHash = { add(block: Uint8Array, offset: number, length: number): void; digest(): Buffer }

/** Begins the hash of one large file. */
export function startExtentsHash(keys: ArchiveKeys): ExtentsHash {
  assert(keys.extents.length === KEY_BYTES)
  const hmac = createHmac('sha256', keys.extents)
  const numbers = Buffer.alloc(8)
  return {
    add: (block, offset, length) => {
      numbers.writeUInt32LE(offset, 0)
      numbers.writeUInt32LE(length, 4)
      hmac.update(block).update(numbers)
    },
    digest: () => hmac.digest(),
  }
}

/** The hash of content that arrives in pieces, when its whole length is known before; for a restore that checks. */
export type ContentHash = { update(piece: Uint8Array): void; digest(): Buffer }

/**
 * Begins the hash of content that is shorter than SMALL_FILE_BYTES.
 *
 * @param content_bytes  how many bytes there will be
 */
export function startContentHash(keys: ArchiveKeys, content_bytes: number): ContentHash {
  assert(content_bytes > 0 && content_bytes < SMALL_FILE_BYTES && keys.content.length === KEY_BYTES)
  if (content_bytes > BLAKE_CONTENT_BYTES_MAX) {
    const hmac: Hmac = createHmac('sha256', keys.content)
    return { update: piece => void hmac.update(piece), digest: () => hmac.digest() }
  }
  const pieces: Uint8Array[] = []
  return { update: piece => void pieces.push(Buffer.from(piece)), digest: () => hashContent(keys, Buffer.concat(pieces)) }
}
