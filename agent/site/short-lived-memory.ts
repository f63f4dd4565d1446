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
