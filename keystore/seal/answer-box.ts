// How half of a key travels from the authority to the device that asked: in a sealed box (libsodium's crypto_box_seal) to
// a key that the device makes for this one answer and then wipes. TLS already hides it from the network; this hides it
// from whatever stands between, and from anybody who records the connection and learns the device's key later.
import sodium, { type SecureBuffer } from 'sodium-native'
import { fault } from './errors.ts'

export const ANSWER_KEY_BYTES = 32

export type AnswerBox = {
  /** 32 bytes, to be sent with the request. */
  readonly publicKey: Buffer
  /** @returns secure memory: the caller's, to wipe @throws SEALED_KEY_DOES_NOT_OPEN */
  open(box: Buffer): SecureBuffer
  /** Wipes the private key. */
  wipe(): void
}

/** A new key pair for one answer. */
export function createAnswerBox(): AnswerBox {
  const publicKey = Buffer.alloc(ANSWER_KEY_BYTES)
  const secretKey = sodium.sodium_malloc(ANSWER_KEY_BYTES)
  sodium.crypto_box_keypair(publicKey, secretKey)
  return {
    publicKey,
    open(box) {
      if (box.length <= sodium.crypto_box_SEALBYTES) throw fault('SEALED_KEY_DOES_NOT_OPEN', { found: `an answer of ${box.length} bytes` })
      const opened = sodium.sodium_malloc(box.length - sodium.crypto_box_SEALBYTES)
      if (sodium.crypto_box_seal_open(opened, box, publicKey, secretKey)) return opened
      sodium.sodium_free(opened)
      throw fault('SEALED_KEY_DOES_NOT_OPEN', { found: 'an answer that is sealed to another key' })
    },
    wipe() {
      sodium.sodium_memzero(secretKey)
      sodium.sodium_free(secretKey)
    },
  }
}

/**
 * Seals an answer to a device's key.
 *
 * @param secret     secure memory; it stays the caller's, to wipe
 * @param answerKey  of the device, ANSWER_KEY_BYTES
 */
export function sealAnswer(secret: Buffer, answerKey: Buffer): Buffer {
  const box = Buffer.alloc(secret.length + sodium.crypto_box_SEALBYTES)
  sodium.crypto_box_seal(box, secret, answerKey)
  return box
}
