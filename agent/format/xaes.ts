// XAES-256-GCM (C2SP, c2sp.org/XAES-256-GCM): AES-256-GCM with a 24-byte nonce, so that nonces may be random for any
// number of records. Two AES blocks derive a key from the first 12 bytes of the nonce (SP 800-108, CMAC); the other
// 12 are the nonce of AES-256-GCM under that key.
import { createCipheriv } from 'node:crypto'
import { GCM_TAG_BYTES, gcmOpen, gcmSeal } from './runtime-libraries.ts'

export const NONCE_BYTES = 24
export const TAG_BYTES = GCM_TAG_BYTES

/**
 * Encrypts into a buffer that is there already.
 *
 * @param key         32 bytes
 * @param nonce       24 bytes, never twice under one key
 * @param associated  what the tag covers besides the plaintext
 * @param plaintext   pieces, encrypted as one
 * @param target      gets ciphertext ‖ 16-byte tag, from `offset` on
 * @returns           the offset behind the tag
 */
export function xaesSeal(key: Buffer, nonce: Buffer, associated: Uint8Array, plaintext: Iterable<Uint8Array>, target: Buffer, offset: number): number {
  const derived = deriveGcmKey(key, nonce)
  try {
    return gcmSeal(derived, nonce.subarray(12), associated, plaintext, target, offset)
  } finally {
    derived.fill(0)
  }
}

/**
 * Decrypts and checks.
 *
 * @param sealed  ciphertext ‖ 16-byte tag
 * @param target  gets the plaintext; by default new memory. May be `sealed` itself, which is lost then
 * @returns       the plaintext; undefined if key, nonce, associated data or any byte of `sealed` is another
 */
export function xaesOpen(key: Buffer, nonce: Buffer, associated: Uint8Array, sealed: Buffer, target?: Buffer): Buffer | undefined {
  if (sealed.length < TAG_BYTES) return undefined
  const bytes = sealed.length - TAG_BYTES
  const plaintext = target?.subarray(0, bytes) ?? Buffer.allocUnsafeSlow(bytes)
  const derived = deriveGcmKey(key, nonce)
  try {
    return gcmOpen(derived, nonce.subarray(12), associated, sealed, plaintext) ? plaintext : undefined
  } finally {
    derived.fill(0)
  }
}

function deriveGcmKey(key: Buffer, nonce: Buffer): Buffer {
  if (key.length !== 32 || nonce.length !== NONCE_BYTES) throw new RangeError('XAES-256-GCM takes a key of 32 bytes and a nonce of 24')
  const cipher = createCipheriv('aes-256-ecb', key, null)
  cipher.setAutoPadding(false)
  const subkey = doubled(cipher.update(Buffer.alloc(16)))
  const messages = Buffer.alloc(32)
  for (const [at, counter] of [[0, 1] as const, [16, 2] as const]) {
    messages[at + 1] = counter
    messages[at + 2] = 0x58
    messages.set(nonce.subarray(0, 12), at + 4)
    for (let i = 0; i < 16; i++) messages[at + i] = (messages[at + i] ?? 0) ^ (subkey[i] ?? 0)
  }
  const derived = cipher.update(messages)
  subkey.fill(0)
  return derived
}

// The first CMAC subkey: the block doubled in GF(2^128).
function doubled(block: Buffer): Buffer {
  const high = block.readBigUInt64BE(0)
  const low = block.readBigUInt64BE(8)
  block.writeBigUInt64BE(BigInt.asUintN(64, (high << 1n) | (low >> 63n)), 0)
  block.writeBigUInt64BE(BigInt.asUintN(64, low << 1n), 8)
  block[15] = (block[15] ?? 0) ^ (high >> 63n === 1n ? 0x87 : 0)
  return block
}
