// Writes an answer to a file as it comes, and tells a whole one from one that broke off.

import { writeSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { fault } from '#authority/errors.ts'

/** @throws RESTORE_BROKEN_OFF  what came is written */
export async function writeStream(answer: IncomingMessage, file: number, wanted_bytes: number, onBytes: (bytes: number) => void): Promise<void> {
  let bytes = 0
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      for (let at = 0; at < part.length; ) at += writeSync(file, part, at)
      bytes += part.length
      onBytes(bytes)
    }
  } catch (cause) {
    throw fault('RESTORE_BROKEN_OFF', { expected: `${wanted_bytes} bytes`, found: `${bytes}`, cause })
  }
  if (bytes !== wanted_bytes) throw fault('RESTORE_BROKEN_OFF', { expected: `${wanted_bytes} bytes`, found: `${bytes}` })
}
