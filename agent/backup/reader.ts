// The reader thread: scans, compares with the last snapshot, reads what changed, and makes records of it.
// It holds the key, in secure memory, and wipes it at its end. See messages.ts for what leaves it.
import { parentPort } from 'node:worker_threads'
import { openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { createScanGroup } from '#filesystem/scan-group.ts'
import { decodeKeyRing, deriveArchiveKeys, wipeSecureBuffer } from '#format/keys.ts'
import { fault as siteFault } from '#site/errors.ts'
import { openCache } from './cache.ts'
import type { BackupWork, FromReader, ToReader } from './messages.ts'
import { runReader, type ScannedGroup } from './run-reader.ts'
import type { ScannedMessage } from './scanning.ts'

const port = parentPort
if (!port) throw new Error('reader.ts runs as a worker thread only')

const calls = new Map<number, (bytes: Uint8Array) => void>()
let lastCall = 0
let onAcknowledged: (ordinals: readonly number[]) => void = () => {}
const post = (message: FromReader): void => port.postMessage(message)
type Call = { kind: 'ask'; ids: Uint8Array } | { kind: 'fetch'; id: Uint8Array } | { kind: 'commit'; bytes: Uint8Array }
const call = (message: Call): Promise<Buffer> =>
  new Promise(resolve => {
    calls.set(++lastCall, bytes => resolve(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)))
    post({ ...message, call: lastCall })
  })

/** Groups of scanned entries that have arrived, and the one that is being looked at. */
const arrived: ScannedMessage[] = []
let current: ScannedMessage | undefined
let onArrival: (() => void) | undefined
const nextGroup = async (isContentWanted: boolean): Promise<ScannedGroup> => {
  if (current) post({ kind: 'taken', group: current.group, isContentWanted })
  while (arrived.length === 0) await new Promise<void>(resolve => (onArrival = resolve))
  current = arrived.shift() as ScannedMessage
  return { ...current, group: createScanGroup(current.shared) }
}

port.on('message', (message: ToReader) => {
  if (message.kind === 'begin') void work(message.work)
  else if (message.kind === 'acknowledged') onAcknowledged(message.ordinals)
  else if (message.kind === 'scanned') {
    arrived.push(message)
    onArrival?.()
  } else {
    calls.get(message.call)?.(message.bytes)
    calls.delete(message.call)
  }
})
post({ kind: 'started' })

async function work(it: BackupWork): Promise<void> {
  const storage = await openAuthorizedStorage(it.home)
  const encoded = await storage.get('user-key-ring')
  if (!encoded) throw siteFault('NOT_PAIRED')
  const ring = decodeKeyRing(encoded)
  wipeSecureBuffer(encoded)
  await storage.close()
  const keys = deriveArchiveKeys(ring, it.archive)
  const cache = await openCache(it.home, it.archive)
  try {
    const result = await runReader(it, keys, cache, {
      ask: ids => call({ kind: 'ask', ids }),
      fetch: id => call({ kind: 'fetch', id }),
      scanned: nextGroup,
      commit: async bytes => {
        await call({ kind: 'commit', bytes })
      },
      send: (ordinal, record) => post({ kind: 'record', ordinal, bytes: record }),
      flush: () => post({ kind: 'flush' }),
      progress: (counts, path) => post({ kind: 'progress', counts, path }),
      unreadable: item => post({ kind: 'unreadable', item }),
      onAcknowledged: listener => {
        onAcknowledged = listener
      },
    })
    post({ kind: 'done', ...result })
  } finally {
    keys.wipe()
    ring.wipe()
    await cache.close()
    port?.close()
  }
}
