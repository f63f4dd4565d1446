// The devices that wait for a push, each with one request that is held: waking them, ending them, and whether one is there.
import { performance } from 'node:perf_hooks'

export type Waiter = {
  /** Resolves after so long, or when it is woken or ended. */
  sleep(ms: number): Promise<void>
  hasEnded(): boolean
  end(): void
}

export type Waiters = ReturnType<typeof createWaiters>

export function createWaiters() {
  const waiting = new Map<string, Waiter & { wake(): void }>()
  /** When each was here last. */
  const seen = new Map<string, number>()
  let isClosed = false

  return {
    /** One that waits already is ended. */
    begin(device: string): Waiter {
      waiting.get(device)?.end()
      let hasEnded = isClosed
      let wake = (): void => {}
      const waiter = {
        sleep: (ms: number): Promise<void> =>
          new Promise(resolve => {
            const timer = setTimeout(resolve, hasEnded ? 0 : ms)
            wake = () => {
              clearTimeout(timer)
              resolve()
            }
          }),
        hasEnded: () => hasEnded,
        wake: () => wake(),
        end: () => {
          hasEnded = true
          if (waiting.get(device) === waiter) {
            waiting.delete(device)
            seen.set(device, performance.now())
          }
          wake()
        },
      }
      waiting.set(device, waiter)
      return waiter
    },
    wake: (device: string): void => waiting.get(device)?.wake(),
    end: (device: string): void => waiting.get(device)?.end(),
    /** Whether it waits, or did so lately. */
    isThere: (device: string, lately_ms: number): boolean =>
      waiting.has(device) || performance.now() - (seen.get(device) ?? Number.NEGATIVE_INFINITY) < lately_ms,
    /** Ends all, and whoever comes later. */
    close(): void {
      isClosed = true
      for (const waiter of waiting.values()) waiter.end()
    },
  }
}
