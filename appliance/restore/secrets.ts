// The secrets of one restore, before anything else on the worker's socket:
//   length (4 bytes, big-endian) ‖ what the keystore opened (OPENED_BYTES) ‖ the client certificate's private key in PEM
// They are read by the system call itself, straight into secure memory: no stream, string or buffer of the runtime ever
// holds them.
import { readSync } from 'node:fs'
import { secureBuffer, wipeSecureBuffer } from '#format/keys.ts'
import { OPENED_BYTES } from '#keystore-seal/sealed-key-head.ts'
import { SECRETS_LENGTH_BYTES } from './channel.ts'
import { fault } from './errors.ts'

/** Longer than any PEM of a key. */
const SECRETS_BYTES_MAX = 16 * 1024
/** Between two looks at a socket that does not wait by itself. */
const LOOK_MS = 5

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
 * Reads them, and nothing behind them.
 *
 * @throws ORDER_INVALID  nothing is kept
 */
export function readSecrets(fd: number): Secrets {
  const memory = secureBuffer(SECRETS_BYTES_MAX)
  const wipe = (): void => wipeSecureBuffer(memory)
  try {
    readWhole(fd, memory.subarray(0, SECRETS_LENGTH_BYTES))
    const bytes = memory.readUInt32BE(0)
    if (bytes <= OPENED_BYTES || bytes > memory.length) throw fault('ORDER_INVALID', { expected: 'half of a key and a private key', found: `${bytes} bytes` })
    readWhole(fd, memory.subarray(0, bytes))
    return { opened: memory.subarray(0, OPENED_BYTES), clientKey: memory.subarray(OPENED_BYTES, bytes), wipe }
  } catch (error) {
    wipe()
    throw error
  }
}

function readWhole(fd: number, into: Buffer): void {
  for (let bytes = 0; bytes < into.length; ) {
    try {
      const read = readSync(fd, into, bytes, into.length - bytes, null)
      if (read === 0) throw fault('ORDER_INVALID', { expected: 'half of a key and a private key', found: 'the end' })
      bytes += read
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS)
    }
  }
}
