// Starting the reader thread, apart from all else: what it loads takes a tenth of a second, so it begins before anything
// else of a backup is even loaded.
import { Worker } from 'node:worker_threads'

export type ReaderWorker = {
  readonly worker: Worker
  /** Ends the thread if it still runs. Not before it has loaded its libraries: that would end the process. */
  end(): Promise<void>
}

const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4, stackSizeMb: 2 }

/** Starts the thread; it waits for its work. The first thing that it says is that it has loaded. */
export function startReaderWorker(): ReaderWorker {
  const worker = new Worker(new URL('./reader.ts', import.meta.url), { resourceLimits: LIMITS })
  const loaded = new Promise<void>(resolve => {
    worker.once('message', () => resolve())
    worker.once('exit', () => resolve())
  })
  return {
    worker,
    async end() {
      await loaded
      await worker.terminate()
    },
  }
}
