// How a key ring goes from one thread to another. Secure memory can't be sent or shared, and what can be lies in the heap,
// core dumps included: so the ring goes in a sealed box (libsodium's crypto_box_seal) to a key that the other thread made
// for this, whose private half never leaves its secure memory.
import sodium from 'sodium-native'
import { decodeKeyRing, encodeKeyRing, type KeyRing, secureBuffer, wipeSecureBuffer } from './keys.ts'

export type RingBox = {
  /** For sealRing(), in the thread that has the ring. */
  readonly publicKey: Buffer
  /** The ring, in this thread's secure memory. Once: the private key is wiped. @throws KEY_RING_DAMAGED */
  open(box: Uint8Array): KeyRing
}

/** Made in the thread that wants the ring. */
export function createRingBox(): RingBox {
  const publicKey = Buffer.alloc(sodium.crypto_box_PUBLICKEYBYTES)
  const secretKey = secureBuffer(sodium.crypto_box_SECRETKEYBYTES)
  sodium.crypto_box_keypair(publicKey, secretKey)
  return {
    publicKey,
    open(box) {
      const encoded = secureBuffer(Math.max(0, box.length - sodium.crypto_box_SEALBYTES))
      try {
        // What does not open leaves zeros, which are no ring.
        sodium.crypto_box_seal_open(encoded, Buffer.from(box), publicKey, secretKey)
        return decodeKeyRing(encoded)
      } finally {
        wipeSecureBuffer(secretKey)
        wipeSecureBuffer(encoded)
      }
    },
  }
}

/** @param publicKey  of the RingBox; the ring stays the caller's */
export function sealRing(ring: KeyRing, publicKey: Uint8Array): Buffer {
  const encoded = encodeKeyRing(ring)
  const box = Buffer.alloc(encoded.length + sodium.crypto_box_SEALBYTES)
  sodium.crypto_box_seal(box, encoded, Buffer.from(publicKey))
  wipeSecureBuffer(encoded)
  return box
}
