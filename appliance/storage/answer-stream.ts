// Sends records as they come off the disk. The reader of a slow connection is not asked for more until what it gave is
// on its way, and all connections together hold a bounded number of bytes.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { BYTES_TYPE } from '#protocol/storage-api.ts'
import type { Budget } from './budget.ts'
import { chunksDropped } from './short-lived-memory.ts'

/** A receiver that takes nothing for so long loses its connection. */
export const STALL_MS = 120_000
/** What one chunk on its way may cost. */
const CHUNK_BYTES = 1024 * 1024
/** So much is encrypted at once: TLS keeps a copy of it until the socket takes it. */
const WRITE_BYTES = 256 * 1024

export type Answer = { readonly bytes: number; readonly chunks: AsyncIterable<Buffer> }

/** Sends the answer; what fails after its first byte ends the connection, so that the receiver sees that it was cut. */
export async function sendChunks(response: ServerResponse, answer: Answer, budget: Budget): Promise<void> {
  const stop = new AbortController()
  response.on('close', () => stop.abort())
  response.writeHead(200, { 'content-type': BYTES_TYPE, 'content-length': answer.bytes })
  const chunks = answer.chunks[Symbol.asyncIterator]()
  try {
    for (;;) {
      const release = await budget.acquire(CHUNK_BYTES)
      try {
        if (stop.signal.aborted) return
        const next = await chunks.next()
        if (next.done) break
        for (let at = 0; at < next.value.length; at += WRITE_BYTES) {
          if (!response.write(next.value.subarray(at, at + WRITE_BYTES))) await drained(response, stop.signal)
        }
        chunksDropped(next.value.length)
      } finally {
        release()
      }
    }
    response.end()
  } catch (error) {
    response.destroy()
    if (!stop.signal.aborted) throw error
  } finally {
    await chunks.return?.()
  }
}

async function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  const late = setTimeout(() => response.destroy(), STALL_MS)
  try {
    await once(response, 'drain', { signal })
  } finally {
    clearTimeout(late)
  }
}
