// Memory for records on their way between the connection and the threads that seal or open them: shared, of a fixed size,
// used again and again. So no record is copied from thread to thread, none costs the mapping and zeroing of fresh memory,
// and what is under way is bounded by what fits in. Invariants:
//   pieces that were taken and not given back never overlap;
//   who waits gets memory in the order of asking, so a long record is not passed over for short ones for ever.
import assert from 'node:assert/strict'

/** Room for what is under way in one direction, in bytes. */
export const RECORD_MEMORY_BYTES = 8 * 1024 * 1024

export type RecordMemory = {
  /** A piece of exactly this length; a promise if there is no room just now. What is longer than the whole gets memory of its own. */
  take(bytes: number): Buffer | Promise<Buffer>
  /** Gives a piece back that was taken: it may not be looked at any more. */
  give(piece: Buffer): void
}

/** Memory that is reserved at once, and becomes real as it is used. */
export function createRecordMemory(memory_bytes: number = RECORD_MEMORY_BYTES): RecordMemory {
  const shared = new SharedArrayBuffer(memory_bytes)
  /** Free ranges in order, none empty, none adjacent to the next. */
  const free = [{ from: 0, to: memory_bytes }]
  const waiting: { bytes: number; resolve: (piece: Buffer) => void }[] = []

  const cut = (bytes: number): Buffer | undefined => {
    if (bytes > memory_bytes) return Buffer.from(new SharedArrayBuffer(bytes))
    const at = free.findIndex(({ from, to }) => to - from >= bytes)
    const range = free[at]
    if (!range) return undefined
    const piece = Buffer.from(shared, range.from, bytes)
    range.from += bytes
    if (range.from === range.to) free.splice(at, 1)
    return piece
  }

  return {
    take(bytes) {
      const piece = waiting.length === 0 ? cut(bytes) : undefined
      return piece ?? new Promise(resolve => waiting.push({ bytes, resolve }))
    },
    give(piece) {
      if (piece.buffer === shared && piece.length > 0) {
        const from = piece.byteOffset
        const to = from + piece.length
        let at = free.findIndex(range => range.from >= from)
        if (at < 0) at = free.length
        const before = free[at - 1]
        const after = free[at]
        assert((before?.to ?? 0) <= from && to <= (after?.from ?? memory_bytes), 'a piece was given back twice')
        const isJoinedBefore = before?.to === from
        const isJoinedAfter = after?.from === to
        if (isJoinedBefore && before && isJoinedAfter && after) {
          before.to = after.to
          free.splice(at, 1)
        } else if (isJoinedBefore && before) before.to = to
        else if (isJoinedAfter && after) after.from = from
        else free.splice(at, 0, { from, to })
      }
      for (let next = waiting[0]; next; next = waiting[0]) {
        const ready = cut(next.bytes)
        if (!ready) return
        waiting.shift()
        next.resolve(ready)
      }
    },
  }
}

/** Takes a record. Its bytes are valid, and may be changed, until this returns or its promise resolves; more may come meanwhile. */
export type OnRecord = (record: Buffer) => Promise<void> | void

export type Handover = {
  /** Hands a record over, and gives its memory back when it is done with. Throws what went wrong with one before. */
  hand(record: Buffer): void
  /** Waits for all that were handed over; throws what went wrong with the first of those that did. */
  settle(): Promise<void>
}

/** Hands over several records at once: as many as the memory has room for. */
export function createHandover(memory: RecordMemory, onRecord: OnRecord): Handover {
  const pending = new Set<Promise<void>>()
  let failure: { error: unknown } | undefined
  const fail = (error: unknown): void => {
    failure ??= { error }
  }
  return {
    hand(record) {
      let taken: Promise<void> | void = undefined
      try {
        taken = onRecord(record)
      } catch (error) {
        fail(error)
      }
      if (!taken) {
        memory.give(record)
        if (failure) throw failure.error
        return
      }
      const settled: Promise<void> = taken.catch(fail).finally(() => {
        memory.give(record)
        pending.delete(settled)
      })
      pending.add(settled)
      if (failure) throw failure.error
    },
    async settle() {
      while (pending.size > 0) await Promise.all(pending)
      if (failure) throw failure.error
    },
  }
}
