// A worker thread of a restore: opens blocks, checks them, and writes what lies in them. It holds the key in secure memory
// and wipes it at its end. See messages.ts for what it is told and what it answers.
import { parentPort, workerData } from 'node:worker_threads'
import { deriveArchiveKeys } from '#format/keys.ts'
import { createRingBox } from '#format/ring-box.ts'
import type { FromWorker, Outcome, ToWorker, WorkerSetup } from './messages.ts'
import { errnoOf, isFull } from './target-errors.ts'
import { createWork } from './work.ts'

const port = parentPort
if (!port) throw new Error('worker.ts runs as a worker thread only')
const setup = workerData as WorkerSetup
const box = createRingBox()
setup.ring.postMessage(box.publicKey)
const ring = box.open(await new Promise<Uint8Array>(resolve => setup.ring.once('message', resolve)))
setup.ring.close()
const keys = deriveArchiveKeys(ring, setup.archive)
ring.wipe()

const done = new Int32Array(setup.done)
const post = (message: FromWorker): void => port.postMessage(message)
const work = createWork(keys, setup)
port.on('message', ({ call, request }: ToWorker) => {
  if (request.kind === 'close') {
    work.close()
    keys.wipe()
    port.close()
    return
  }
  let outcome: Outcome
  try {
    outcome = work.do(request)
  } catch (error) {
    if (!isFull(error)) throw error
    post({ kind: 'fatal', code: 'TARGET_FULL', found: errnoOf(error) ?? '' })
    return
  }
  Atomics.add(done, 0, 1)
  if (call !== 0) post({ kind: 'outcome', call, outcome })
})
post({ kind: 'ready' })
