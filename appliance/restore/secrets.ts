// The secrets of one restore, over a pipe that carries nothing else:
//   what the keystore opened (OPENED_BYTES) ‖ the client certificate's private key in PEM, to the end
// They are read by the system call itself, straight into secure memory: no stream, string or buffer of the runtime ever
// holds them.
import { readSync } from 'node:fs'
import { secureBuffer, wipeSecureBuffer } from '#format/keys.ts'
import { OPENED_BYTES } from '#keystore-seal/sealed-key-head.ts'
import { fault } from './errors.ts'

/** Longer than any PEM of a key. */
const SECRETS_BYTES_MAX = 16 * 1024

/** Views, gone after wipe(). */
export type Secrets = {
  /** One half of the user's keys: it opens the sealed key of the order. */
  readonly opened: Buffer
  /** Of the order's certificate. */
  readonly clientKey: Buffer
  /** Zeroes both. May be called again. */
  wipe(): void
}

/**
 * Reads the pipe to its end.
 *
 * @throws ORDER_INVALID  nothing is kept
 */
export function readSecrets(fd: number): Secrets {
  const memory = secureBuffer(SECRETS_BYTES_MAX)
  const wipe = (): void => wipeSecureBuffer(memory)
  try {
    let bytes = 0
    for (let read = -1; read !== 0 && bytes < memory.length; bytes += read) read = readSync(fd, memory, bytes, memory.length - bytes, null)
    if (bytes <= OPENED_BYTES || bytes === memory.length) throw fault('ORDER_INVALID', { expected: 'half of a key and a private key', found: `${bytes} bytes` })
    return { opened: memory.subarray(0, OPENED_BYTES), clientKey: memory.subarray(OPENED_BYTES, bytes), wipe }
  } catch (error) {
    wipe()
    throw error
  }
}
