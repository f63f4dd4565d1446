// Takes the body of an upload as it streams: cut into batches, digests checked beside, each batch stored as it is whole.
// Invariants:
//   nothing of a body is joined; what waits for the disk lies in the pool, and the socket is paused while the pool is empty;
//   a batch's memory is given back when its records are durable or refused, never before;
//   after an error the rest of the body is thrown away, so that the answer arrives and the connection stays usable;
//   a sender that does not finish a record in time loses its connection, and its memory is free again.
import type { IncomingMessage } from 'node:http'
import type { Framed } from '#archive/append.ts'
import { fault } from '#protocol/errors.ts'
import type { Fault } from '#protocol/fault.ts'
import type { RecordHeader } from '#protocol/record.ts'
import type { DigestCheck } from './digest-check.ts'
import type { MemoryPool } from './memory-pool.ts'
import { type Batch, createCutter } from './record-cutter.ts'
import { chunksDropped } from './short-lived-memory.ts'

/** A record must arrive within this time once memory was taken for it. */
export const RECORD_ARRIVAL_MS = 60_000
const WATCH_MS = 5_000
const LINGER_MS = 1_000

export type Sink = {
  readonly body_bytes_max: number
  /** Nothing is stored unless the whole body was in order. For bodies of one record: what arrived stays in memory until then. */
  readonly isAllOrNothing?: true
  /** Refuses a record by its header (throws); nothing was taken for it yet. */
  check(header: RecordHeader): void
  /** Stores whole, unaltered records; they are durable when it resolves. */
  store(records: readonly Framed[]): Promise<void>
}

export type Intake = {
  /**
   * Takes a body of joined records. Resolves when all of them are stored.
   *
   * @throws RECORD_INVALID, RECORD_TOO_LARGE, RECORD_CUT, RECORD_ALTERED, VERSION_UNSUPPORTED, BODY_TOO_LARGE, and what the
   *         sink throws; the first error in the body's order of arrival counts; whole records around it may be stored
   */
  take(body: IncomingMessage, sink: Sink): Promise<void>
  close(): void
}

/** Makes the intake of a storage node; all its uploads share one pool. */
export function createIntake(pool: MemoryPool, digests: DigestCheck, arrival_ms: number = RECORD_ARRIVAL_MS): Intake {
  const watched = new Set<{ since_ms: number | undefined; body: IncomingMessage }>()
  const watch = setInterval(
    () => {
      const limit_ms = performance.now() - arrival_ms
      for (const one of watched) if (one.since_ms !== undefined && one.since_ms < limit_ms) one.body.destroy()
    },
    Math.min(WATCH_MS, arrival_ms),
  )
  watch.unref()

  const storeBatch = async (batch: Batch, sink: Sink): Promise<void> => {
    try {
      const altered = new Set(await digests.altered(batch.plan))
      const intact = altered.size === 0 ? batch.records : batch.records.filter((_, i) => !altered.has(i))
      if (intact.length > 0) await sink.store(intact)
      const first = [...altered][0]
      if (first !== undefined) throw fault('RECORD_ALTERED', { facts: { id: batch.records[first]?.header.id.toString('hex') } })
    } finally {
      pool.release(batch.slots)
    }
  }

  const take = (body: IncomingMessage, sink: Sink): Promise<void> =>
    new Promise((resolve, reject) => {
      const state: { since_ms: number | undefined; body: IncomingMessage } = { since_ms: undefined, body }
      const batches: Promise<void>[] = []
      let failure: { error: unknown } | undefined
      let received_bytes = 0
      let isEnded = false
      let isWaiting = false
      const fail = (error: unknown): void => {
        if (failure) return
        failure = { error }
        state.since_ms = undefined
        cutter.flush()
      }
      const arrived = Promise.withResolvers<void>()
      const storeIfInOrder = async (batch: Batch): Promise<void> => {
        await arrived.promise
        if (failure) pool.release(batch.slots)
        else await storeBatch(batch, sink)
      }
      const cutter = createCutter(pool, sink.check, batch => {
        batches.push((sink.isAllOrNothing ? storeIfInOrder(batch) : storeBatch(batch, sink)).catch(fail))
      })
      watched.add(state)
      const tooLarge = (): Fault => fault('BODY_TOO_LARGE', { expected: `at most ${sink.body_bytes_max} bytes`, found: 'more' })
      if (Number(body.headers['content-length'] ?? 0) > sink.body_bytes_max) fail(tooLarge())

      const consume = (chunk: Buffer, from: number): void => {
        if (failure) return
        try {
          const reached = cutter.feed(chunk, from)
          const needed = cutter.needs()
          if (needed > 0) void waitForMemory(needed, chunk, reached)
          state.since_ms = cutter.isInsideRecord() && !isWaiting ? (state.since_ms ?? performance.now()) : undefined
        } catch (error) {
          fail(error)
        }
      }
      const waitForMemory = async (needed: number, chunk: Buffer, from: number): Promise<void> => {
        isWaiting = true
        body.pause()
        const slots = await pool.wait(needed)
        isWaiting = false
        if (isEnded || failure) {
          pool.release(slots)
        } else {
          cutter.give(slots)
          consume(chunk, from)
        }
        if (!isWaiting) body.resume()
      }
      const end = async (error?: unknown): Promise<void> => {
        if (isEnded) return
        isEnded = true
        watched.delete(state)
        if (!failure && (error !== undefined || cutter.isInsideRecord())) fail(error ?? fault('RECORD_CUT'))
        cutter.flush()
        arrived.resolve()
        await Promise.all(batches)
        if (failure) reject(failure.error)
        else resolve()
      }
      body.on('data', (chunk: Buffer) => {
        received_bytes += chunk.length
        chunksDropped(chunk.length)
        if (received_bytes > sink.body_bytes_max) fail(tooLarge())
        if (received_bytes > 2 * sink.body_bytes_max && !isEnded) {
          // Who goes on sending gets the answer now, and is heard no longer than that takes.
          setTimeout(() => body.destroy(), LINGER_MS).unref()
          void end()
        }
        consume(chunk, 0)
      })
      body.on('end', () => void end())
      body.on('error', () => void end(fault('RECORD_CUT')))
      body.on('close', () => void end(fault('RECORD_CUT')))
    })

  return { take, close: () => clearInterval(watch) }
}
