// A user key, sealed so that neither the keystore nor the appliance alone can open it. Invariants:
//   the sealed key lies beside the archive and opens with W, 32 random bytes that were made for it alone;
//   W lies in the keystore, sealed to the slot, together with the SHA-256 of the sealed key: one fits only the other;
//   tenant, slot and epoch are under the tag: a sealed key that is passed off as another's does not open;
//   what is opened lies in secure memory; W and the key are wiped by whoever asked for them.
// Layout: sealed-key-head.ts, and KEYSTORE.md.
import assert from 'node:assert/strict'
import { constants, createCipheriv, createHash, type KeyObject, publicEncrypt, randomFillSync, timingSafeEqual } from 'node:crypto'
import sodium, { type SecureBuffer } from 'sodium-native'
import { SEALED_KEY_BYTES_MAX } from '#protocol/limits.ts'
import { fault } from './errors.ts'
import { openSecretly } from './open-secretly.ts'
import { kidOf, SEALED_KEY_NONCE_BYTES as NONCE_BYTES, OPENED_BYTES, type Owner, readSealedKeyHead, sealedKeyHead } from './sealed-key-head.ts'

const WRAPPING_KEY_BYTES = 32

export type Sealed = {
  /** For the archive, and every copy of it. */
  readonly sealed_key: Buffer
  /** For the keystore: as its transit engine takes it, `vault:v1:` and base64. */
  readonly sealed_w: string
  readonly kid: string
}

/**
 * Seals a user's keys under a random W, and W to the slot.
 *
 * @param ring       the encoded key ring, in secure memory; it stays the caller's, to wipe
 * @param publicKey  of the slot, from checkSlot()
 */
export function sealUserKey(ring: Uint8Array, owner: Owner, publicKey: KeyObject): Sealed {
  const opened = sodium.sodium_malloc(OPENED_BYTES)
  try {
    const w = opened.subarray(0, WRAPPING_KEY_BYTES)
    sodium.randombytes_buf(w)
    const nonce = randomFillSync(Buffer.alloc(NONCE_BYTES))
    const head = sealedKeyHead(owner)
    const cipher = createCipheriv('aes-256-gcm', w, nonce).setAAD(head)
    const sealed_key = Buffer.concat([head, nonce, cipher.update(ring), cipher.final(), cipher.getAuthTag()])
    assert(sealed_key.length <= SEALED_KEY_BYTES_MAX)
    opened.set(createHash('sha256').update(sealed_key).digest(), WRAPPING_KEY_BYTES)
    const sealed = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, opened)
    return { sealed_key, sealed_w: `vault:v1:${sealed.toString('base64')}`, kid: kidOf(owner.epoch, sealed_key) }
  } finally {
    sodium.sodium_memzero(opened)
    sodium.sodium_free(opened)
  }
}

/**
 * Opens a sealed key with what the keystore gave out.
 *
 * @param opened  W ‖ commitment, OPENED_BYTES of secure memory; it stays the caller's, to wipe
 * @returns the encoded key ring, in secure memory: the caller's, to wipe
 * @throws SEALED_KEY_INVALID, SEALED_KEY_DOES_NOT_OPEN
 */
export function openUserKey(sealedKey: Buffer, opened: Uint8Array, expected: Owner): SecureBuffer {
  const { owner, head_bytes } = readSealedKeyHead(sealedKey)
  const isOwners = owner.tenant === expected.tenant && owner.slot === expected.slot && owner.epoch === expected.epoch
  const isCommitted = opened.length === OPENED_BYTES && timingSafeEqual(createHash('sha256').update(sealedKey).digest(), opened.subarray(WRAPPING_KEY_BYTES))
  if (!isOwners || !isCommitted) throw fault('SEALED_KEY_DOES_NOT_OPEN', { found: isOwners ? 'another sealed key' : "somebody else's sealed key" })
  const nonceEnd = head_bytes + NONCE_BYTES
  const head = sealedKey.subarray(0, head_bytes)
  const ring = openSecretly(opened.subarray(0, WRAPPING_KEY_BYTES), sealedKey.subarray(head_bytes, nonceEnd), head, sealedKey.subarray(nonceEnd))
  if (!ring) throw fault('SEALED_KEY_DOES_NOT_OPEN', { found: 'one that was altered' })
  return ring
}
