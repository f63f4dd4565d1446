// Opening what was sealed with AES-256-GCM, so that what comes out lies in secure memory and nowhere else.
import { createDecipheriv } from 'node:crypto'
import sodium, { type SecureBuffer } from 'sodium-native'

const KEY_ALGORITHM = 'aes-256-gcm'
const TAG_BYTES = 16

/**
 * Opens a ciphertext.
 *
 * @param associated  what is under the tag besides
 * @param sealed      ciphertext ‖ tag
 * @returns secure memory: the caller's, to wipe; undefined if it was altered or sealed with another key
 */
export function openSecretly(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, sealed: Buffer): SecureBuffer | undefined {
  const decipher = createDecipheriv(KEY_ALGORITHM, key, nonce).setAAD(associated).setAuthTag(sealed.subarray(-TAG_BYTES))
  const plain = decipher.update(sealed.subarray(0, -TAG_BYTES))
  const secret = sodium.sodium_malloc(plain.length)
  secret.set(plain)
  plain.fill(0)
  try {
    decipher.final()
    return secret
  } catch {
    sodium.sodium_memzero(secret)
    sodium.sodium_free(secret)
    return undefined
  }
}
