// Fetches many records with several requests in flight. A source that fails on one record must not take its whole
// batch along: what a failed batch did not bring is asked for again, in halves, until the bad records stand alone.
// Invariant: for each id, exactly one of onRecord and onLost is called.
import { Fault, isFault } from '#protocol/fault.ts'
import { ID_BYTES, parseRecordHeader } from '#protocol/record.ts'
import { fault } from './errors.ts'
import type { RecordSource } from './record-source.ts'

const READS_IN_FLIGHT_MAX = 3
const BATCH_IDS = 32
/** So often may a connection break over one record before the record is to blame. */
const BREAKS_MAX = 3

export type FetchEvents = {
  /** As OnRecord. Not opened yet: only the id in its header was looked at. */
  readonly onRecord: (id: string, record: Buffer) => Promise<void> | void
  readonly onLost: (id: string, reason: Fault) => Promise<void> | void
}

export type Fetcher = {
  /** Resolves when everything was handed over. `onStarted` is called once the last request has begun. */
  fetch(ids: readonly string[], events: FetchEvents, onStarted?: () => void): Promise<void>
}

/** @param source  one for all windows of a restore, so that they share the limit of requests in flight */
export function createFetcher(source: RecordSource): Fetcher {
  let free = READS_IN_FLIGHT_MAX
  const waiting: (() => void)[] = []
  const acquire = async (): Promise<void> => {
    if (free > 0) free--
    else await new Promise<void>(resolve => waiting.push(resolve))
  }
  const release = (): void => {
    const next = waiting.shift()
    if (next) next()
    else free++
  }

  /** One request; returns what it did not bring, and why. */
  const readOnce = async (ids: readonly string[], events: FetchEvents): Promise<{ left: string[]; reason: Fault | undefined }> => {
    const open = new Set(ids)
    let reason: Fault | undefined
    try {
      await source.read(Buffer.from(ids.join(''), 'latin1'), record => {
        const header = parseRecordHeader(record)
        if (typeof header === 'string') return undefined
        const id = header.id.toString('latin1')
        // A record nobody asked for, or one that a repeated request brings again, is none of ours.
        return open.delete(id) ? events.onRecord(id, record) : undefined
      })
    } catch (error) {
      if (isFault(error, 'UNREACHABLE')) {
        // A connection that broke may be the network, or a record that the server could not read to its end: if the
        // source answers at all, it is the latter.
        if (open.size === ids.length) await source.snapshots()
      } else if (!isFault(error, 'RECORD_UNKNOWN', 'RECORD_INVALID', 'RECORD_ALTERED', 'RECORD_CUT', 'RECORD_TOO_LARGE', 'ARCHIVE_DAMAGED')) throw error
      reason = error
    }
    return { left: [...open], reason }
  }

  /** Gives back what its caller acquired. */
  const readAll = async (ids: readonly string[], events: FetchEvents): Promise<void> => {
    try {
      const queue: (readonly string[])[] = [ids]
      let breaks = 0
      for (let batch = queue.shift(); batch; batch = queue.shift()) {
        const { left, reason } = await readOnce(batch, events)
        if (left.length === 0) continue
        if (batch.length === 1 && isFault(reason, 'UNREACHABLE', 'RECORD_CUT') && ++breaks < BREAKS_MAX) queue.push(batch)
        else if (batch.length === 1) await events.onLost(batch[0] as string, reason ?? fault('RECORD_DAMAGED', { found: 'the source passed it over' }))
        else if (left.length === 1) queue.push(left)
        else queue.push(left.slice(0, left.length >> 1), left.slice(left.length >> 1))
      }
    } finally {
      release()
    }
  }

  return {
    async fetch(ids, events, onStarted) {
      const running: Promise<void>[] = []
      let failure: { error: unknown } | undefined
      for (let at = 0; at < ids.length && !failure; at += BATCH_IDS) {
        await acquire()
        running.push(
          readAll(ids.slice(at, at + BATCH_IDS), events).catch((error: unknown) => {
            failure ??= { error }
          }),
        )
      }
      onStarted?.()
      await Promise.all(running)
      if (failure) throw failure.error
    },
  }
}

/** Cuts joined ids into latin1 strings of 32 chars, which serve as keys. */
export const idNames = (joined: Buffer): string[] =>
  Array.from({ length: joined.length / ID_BYTES }, (_, i) => joined.toString('latin1', i * ID_BYTES, (i + 1) * ID_BYTES))
