// The layer that custody by passphrase puts around a user's keys before they are sealed: whoever gets both halves of the
// escrow has a locked ring, and the passphrase never leaves the endpoints. Invariants:
//   the key that is derived from the passphrase (argon2id) is kept on a paired device, so that it can lock newer keys by
//   itself; the passphrase is not kept anywhere;
//   what a locked ring says of its own cost is bounded before anything is derived.
//   'HFP' version (1) ‖ salt (16) ‖ operations (u32 LE) ‖ memory in KiB (u32 LE) ‖ nonce (12) ‖ ring under AES-256-GCM ‖ tag (16)
import { createCipheriv, randomFillSync } from 'node:crypto'
import sodium, { type SecureBuffer } from 'sodium-native'
import { fault } from './errors.ts'
import { openSecretly } from './open-secretly.ts'

const MAGIC = Buffer.from('HFP\x01', 'latin1')
const SALT_BYTES = 16
const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
const HEAD_BYTES = MAGIC.length + SALT_BYTES + 4 + 4
/** About a second and 256 MiB: derived once a device, so it may cost something. */
const OPERATIONS = sodium.crypto_pwhash_OPSLIMIT_MODERATE
const MEMORY_KIB = sodium.crypto_pwhash_MEMLIMIT_MODERATE / 1024
const OPERATIONS_MAX = 16
const MEMORY_KIB_MAX = 1024 * 1024

export type PassphraseCost = { readonly salt: Buffer; readonly operations: number; readonly memory_kib: number }

/** A new salt, at the cost of today. */
export const newPassphraseCost = (): PassphraseCost => ({ salt: randomFillSync(Buffer.alloc(SALT_BYTES)), operations: OPERATIONS, memory_kib: MEMORY_KIB })

/** Whether this is a locked ring rather than a ring. */
export const isLockedRing = (bytes: Buffer): boolean => bytes.subarray(0, MAGIC.length).equals(MAGIC)

/**
 * What the passphrase of a locked ring was derived with, and so has to be again.
 *
 * @throws SEALED_KEY_INVALID
 */
export function passphraseCostOf(locked: Buffer): PassphraseCost {
  const cost = {
    salt: Buffer.from(locked.subarray(MAGIC.length, MAGIC.length + SALT_BYTES)),
    operations: locked.length > HEAD_BYTES ? locked.readUInt32LE(MAGIC.length + SALT_BYTES) : 0,
    memory_kib: locked.length > HEAD_BYTES ? locked.readUInt32LE(MAGIC.length + SALT_BYTES + 4) : 0,
  }
  const isBounded = cost.operations >= 1 && cost.operations <= OPERATIONS_MAX && cost.memory_kib >= 8 && cost.memory_kib <= MEMORY_KIB_MAX
  if (!isLockedRing(locked) || !isBounded || locked.length <= HEAD_BYTES + NONCE_BYTES + TAG_BYTES)
    throw fault('SEALED_KEY_INVALID', { found: 'a locked key ring that is not well formed' })
  return cost
}

/**
 * The key that locks: argon2id, on the thread pool.
 *
 * @param passphrase  stays the caller's, to wipe
 * @returns salt ‖ operations ‖ memory ‖ key in secure memory, as it is kept: the caller's, to wipe
 */
export async function derivePassphraseKey(passphrase: Buffer, { salt, operations, memory_kib }: PassphraseCost): Promise<SecureBuffer> {
  const kept = sodium.sodium_malloc(SALT_BYTES + 8 + KEY_BYTES)
  kept.set(salt)
  kept.writeUInt32LE(operations, SALT_BYTES)
  kept.writeUInt32LE(memory_kib, SALT_BYTES + 4)
  const key = kept.subarray(SALT_BYTES + 8)
  await sodium.crypto_pwhash_async(key, passphrase, salt, operations, memory_kib * 1024, sodium.crypto_pwhash_ALG_ARGON2ID13)
  return kept
}

/** Locks a ring. @param kept  from derivePassphraseKey() */
export function lockRing(ring: Buffer, kept: Buffer): Buffer {
  const head = Buffer.concat([MAGIC, kept.subarray(0, SALT_BYTES + 8)])
  const nonce = randomFillSync(Buffer.alloc(NONCE_BYTES))
  const cipher = createCipheriv('aes-256-gcm', kept.subarray(SALT_BYTES + 8), nonce).setAAD(head)
  return Buffer.concat([head, nonce, cipher.update(ring), cipher.final(), cipher.getAuthTag()])
}

/** Whether a kept key has the salt of a locked ring, so that it may open it. */
export const fitsLockedRing = (kept: Buffer, locked: Buffer): boolean =>
  kept.subarray(0, SALT_BYTES + 8).equals(locked.subarray(MAGIC.length, MAGIC.length + SALT_BYTES + 8))

/**
 * Unlocks a ring.
 *
 * @param kept  from derivePassphraseKey()
 * @returns the encoded key ring, in secure memory: the caller's, to wipe
 * @throws SEALED_KEY_INVALID, PASSPHRASE_WRONG
 */
export function unlockRing(locked: Buffer, kept: Buffer): SecureBuffer {
  passphraseCostOf(locked)
  const nonceEnd = HEAD_BYTES + NONCE_BYTES
  const ring = openSecretly(kept.subarray(SALT_BYTES + 8), locked.subarray(HEAD_BYTES, nonceEnd), locked.subarray(0, HEAD_BYTES), locked.subarray(nonceEnd))
  if (!ring) throw fault('PASSPHRASE_WRONG')
  return ring
}
