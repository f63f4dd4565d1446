// The two threads that open blocks and write files: a worker thread, and this one, which takes part whenever the worker has
// enough to do. So both cores are busy, and there is one heap less than with two workers: a thread costs some 25 MB.
// The worker gets the key ring in a box that only it can open, and a heap that is small on purpose: what is large (records,
// content) lies outside of it and is given back by hand.
import { MessageChannel, Worker } from 'node:worker_threads'
import { type ArchiveKeys, decodeKeyRing, encodeKeyRing, type KeyRing, wipeSecureBuffer } from '#format/keys.ts'
import type { Page } from '#format/page.ts'
import { sealRing } from '#format/ring-box.ts'
import { createRecordMemory } from '#site/record-memory.ts'
import { fault, RESTORE_ERRORS } from './errors.ts'
import type { FromWorker, Outcome, Request, ToWorker, WorkerSetup } from './messages.ts'
import { errnoOf, isFull } from './target-errors.ts'
import { createWork } from './work.ts'

/** Requests that wait in the worker; more would only cost memory. */
const QUEUE_MAX = 5
/** The same of blocks that only the worker may write: this thread can open them meanwhile. */
const WRITING_QUEUE_MAX = 2
/** Content that was opened here and waits for the worker to write it. */
const PLAIN_MEMORY_BYTES = 4 * 1024 * 1024
const WORKER_LIMITS = { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 2, stackSizeMb: 2 }

export type WorkerPool = {
  /** To both threads, ahead of all later requests. A page comes decoded, too: this thread need not do that again. */
  broadcast(request: Request, page?: Page): void
  /** To the worker if it would begin soon, else this thread does it at once; but pieces of files are written by the worker only. */
  run(request: Request): Promise<Outcome>
  /** To the worker in any case: for what takes long. */
  runAside(request: Request): Promise<Outcome>
  close(): Promise<void>
}

/** Starts the worker. What it is told waits until it has loaded. */
export function startWorkers(ring: KeyRing, keys: ArchiveKeys, setup: Omit<WorkerSetup, 'ring' | 'done'>): WorkerPool {
  const done = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  const plains = createRecordMemory(PLAIN_MEMORY_BYTES)
  let told = 0
  const here = createWork(keys, setup)
  const calls = new Map<number, { resolve: (outcome: Outcome) => void; reject: (error: unknown) => void }>()
  let lastCall = 0
  let failure: unknown
  let isClosing = false
  const fail = (error: unknown): void => {
    failure ??= error
    for (const { reject } of calls.values()) reject(failure)
    calls.clear()
  }
  const worker = startWorker(ring, { ...setup, done: done.buffer })
  // Ending it before would end the process.
  const loaded = Promise.withResolvers<void>()
  worker.on('message', (message: FromWorker) => {
    if (message.kind === 'ready') {
      loaded.resolve()
      return
    }
    if (message.kind === 'fatal') {
      const code = message.code in RESTORE_ERRORS ? (message.code as keyof typeof RESTORE_ERRORS) : 'RESTORE_WORKER_FAILED'
      fail(fault(code, { found: message.found }))
      return
    }
    const call = calls.get(message.call)
    calls.delete(message.call)
    call?.resolve(message.outcome)
  })
  worker.on('error', error => fail(fault('RESTORE_WORKER_FAILED', { found: error instanceof Error ? error.message : String(error), cause: error })))
  worker.on('exit', code => {
    loaded.resolve()
    if (!isClosing) fail(fault('RESTORE_WORKER_FAILED', { found: `exit ${code}` }))
  })

  const tell = (call: number, request: Request): void => {
    told++
    worker.postMessage({ call, request } satisfies ToWorker)
  }
  const runAside = (request: Request): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      if (failure !== undefined) {
        reject(failure)
        return
      }
      calls.set(++lastCall, { resolve, reject })
      tell(lastCall, request)
    })
  const runHere = (request: Request): Outcome => {
    try {
      return here.do(request)
    } catch (error) {
      throw isFull(error) ? fault('TARGET_FULL', { found: errnoOf(error) ?? '', cause: error }) : error
    }
  }

  return {
    broadcast(request, page) {
      tell(0, request)
      here.do(request, page)
    },
    run: async request => {
      const waiting = told - Atomics.load(done, 0)
      const piece_bytes = request.kind === 'block' && waiting >= WRITING_QUEUE_MAX ? here.pieceBytes(request) : 0
      if (failure !== undefined || waiting < (piece_bytes > 0 ? WRITING_QUEUE_MAX : QUEUE_MAX)) return runAside(request)
      if (request.kind !== 'block' || piece_bytes === 0) return runHere(request)
      const room = await plains.take(piece_bytes)
      try {
        return await runAside({ kind: 'opened', ...here.open(request, room), places: request.places })
      } finally {
        plains.give(room)
      }
    },
    runAside,
    async close() {
      await loaded.promise
      isClosing = true
      here.close()
      const gone = new Promise(resolve => worker.once('exit', resolve))
      tell(0, { kind: 'close' })
      await (failure === undefined ? gone : worker.terminate())
    },
  }
}

function startWorker(ring: KeyRing, setup: Omit<WorkerSetup, 'ring'>): Worker {
  const { port1: here, port2: there } = new MessageChannel()
  // The caller may wipe its own before the thread asks.
  const encoded = encodeKeyRing(ring)
  const held = decodeKeyRing(encoded)
  wipeSecureBuffer(encoded)
  here.once('message', (publicKey: Uint8Array) => here.postMessage(sealRing(held, publicKey)))
  here.once('close', () => held.wipe())
  const workerData: WorkerSetup = { ...setup, ring: there }
  return new Worker(new URL('./worker.ts', import.meta.url), { workerData, transferList: [there], resourceLimits: WORKER_LIMITS })
}
