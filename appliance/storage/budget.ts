// A number of bytes that may be in memory at once for one purpose; who asks for more than is left waits in line.

export type Budget = {
  /** Resolves with a function that gives the bytes back; more than the whole counts as the whole. */
  acquire(bytes: number): Promise<() => void>
}

export function createBudget(total_bytes: number): Budget {
  let left_bytes = total_bytes
  const waiting: { bytes: number; resolve: (release: () => void) => void }[] = []
  const grant = (bytes: number): (() => void) => {
    left_bytes -= bytes
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      left_bytes += bytes
      for (let first = waiting[0]; first && first.bytes <= left_bytes; first = waiting[0]) {
        waiting.shift()
        first.resolve(grant(first.bytes))
      }
    }
  }
  return {
    acquire(asked_bytes) {
      const bytes = Math.min(asked_bytes, total_bytes)
      if (waiting.length === 0 && bytes <= left_bytes) return Promise.resolve(grant(bytes))
      return new Promise(resolve => waiting.push({ bytes, resolve }))
    },
  }
}
