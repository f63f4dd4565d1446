// Checks digests beside the write: the records lie in shared memory, only their places are sent here and back.
// A plan is a list of numbers: for each record how many spans it has, then offset and length of each span, in bytes.
// The first span begins with the whole header (the record's digest is its bytes 52 to 83).
import { createHash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'

const HEADER_BYTES = 88
const DIGEST_AT = 52
const memory = Buffer.from(workerData as SharedArrayBuffer)

parentPort?.on('message', ({ number, plan }: { number: number; plan: Int32Array }) => {
  const altered: number[] = []
  for (let at = 0, record = 0; at < plan.length; record++) {
    const spans = plan[at++] ?? 0
    const start = plan[at] ?? 0
    const hash = createHash('sha256')
    for (let span = 0; span < spans; span++, at += 2) {
      const offset = plan[at] ?? 0
      const end = offset + (plan[at + 1] ?? 0)
      hash.update(memory.subarray(span === 0 ? offset + HEADER_BYTES : offset, end))
    }
    if (!hash.digest().equals(memory.subarray(start + DIGEST_AT, start + DIGEST_AT + 32))) altered.push(record)
  }
  parentPort?.postMessage({ number, altered })
})
