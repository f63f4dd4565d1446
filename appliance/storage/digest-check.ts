// One thread that checks the SHA-256 of records while the main thread receives and writes others.
import { Worker } from 'node:worker_threads'
import type { MemoryPool } from './memory-pool.ts'

export type DigestCheck = {
  /** Which records of a plan (see digest-worker.ts) do not match their digest, by position. */
  altered(plan: readonly number[]): Promise<readonly number[]>
  close(): Promise<void>
}

type Waiting = { resolve: (altered: readonly number[]) => void; reject: (error: unknown) => void }

const WORKER_LIMITS = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 }

/** Starts the thread; if it dies, what it was asked fails, and the next question starts another. */
export function startDigestCheck(pool: MemoryPool): DigestCheck {
  const waiting = new Map<number, Waiting>()
  let next = 0
  let worker: Worker | undefined

  const start = (): Worker => {
    const started = new Worker(new URL('./digest-worker.ts', import.meta.url), { workerData: pool.shared, resourceLimits: WORKER_LIMITS })
    const dropped = (error: unknown): void => {
      if (worker !== started) return
      worker = undefined
      for (const one of waiting.values()) one.reject(error)
      waiting.clear()
    }
    started.on('message', ({ number, altered }: { number: number; altered: number[] }) => {
      waiting.get(number)?.resolve(altered)
      waiting.delete(number)
    })
    started.on('error', dropped)
    started.on('exit', () => dropped(new Error('the digest worker ended')))
    return started
  }
  worker = start()

  return {
    altered: plan =>
      new Promise((resolve, reject) => {
        const number = next++
        waiting.set(number, { resolve, reject })
        worker ??= start()
        worker.postMessage({ number, plan: Int32Array.from(plan) })
      }),
    close: async () => {
      await worker?.terminate()
    },
  }
}
