// The runtime wraps every chunk that it receives in a buffer of its own. Those die young, but a collection of the young
// generation comes after so many objects, not bytes: tens of megabytes of dead chunks would lie about meanwhile. So one is
// asked for each time so many bytes went by; it takes well under a millisecond.

const BYTES_BETWEEN = 4 * 1024 * 1024
let passed_bytes = 0

/** Says that chunks of so many bytes were used and dropped. Does nothing without the flag --expose-gc. */
export function chunksDropped(bytes: number): void {
  passed_bytes += bytes
  if (passed_bytes < BYTES_BETWEEN) return
  passed_bytes = 0
  globalThis.gc?.({ type: 'minor' })
}

// Objects that live as long as a window of entries survive young collections, and die in the old generation, where a heap
// that may grow is collected late, and never shrinks by much. A full collection takes some 10 ms.
const ENTRIES_BETWEEN = 32_768
let passed_entries = 0

/** Says that so many entries were dealt with and dropped. Does nothing without the flag --expose-gc. */
export function entriesDropped(entries: number): void {
  passed_entries += entries
  if (passed_entries < ENTRIES_BETWEEN) return
  passed_entries = 0
  globalThis.gc?.()
}
