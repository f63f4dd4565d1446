// The reader thread as the main thread sees it: it works once, and a failure on either side ends it.
import { createExclude } from '#filesystem/exclude.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { parseRecord } from '#protocol/record.ts'
import type { Site } from '#site/site.ts'
import type { BackupCounts, BackupWork, FromReader, ToReader } from './messages.ts'
import type { ReaderWorker } from './reader-worker.ts'
import { type Scanning, startScanning } from './scanning.ts'
import type { Unreadable } from './unreadable.ts'
import { createUploads } from './uploads.ts'

export type ReaderDone = Extract<FromReader, { kind: 'done' }>
export type ReaderRun = {
  readonly work: BackupWork
  readonly session: string
  readonly signal: AbortSignal
  readonly onProgress: (counts: BackupCounts, path: string) => void
  readonly onUnreadable: (item: Unreadable) => void
}

export type ReaderThread = {
  /** Begins to scan, before there is a session. Only once. */
  scan(options: { readonly paths: readonly string[]; readonly excludes: readonly string[]; readonly oneFileSystem: boolean }): void
  /** Goes on from there, and carries records to the site, until all is committed. Only once. */
  run(site: Site, run: ReaderRun): Promise<{ done: ReaderDone; sent_bytes: number }>
  /** Ends the thread if it still runs. */
  end(): Promise<void>
}

const NOTHING = new Uint8Array()

/** @param started  perhaps a while ago: it waits for its work */
export function createReaderThread(started: ReaderWorker): ReaderThread {
  const reader = started.worker
  const tell = (message: ToReader): void => reader.postMessage(message)
  let failure: unknown
  let onMessage: (message: FromReader) => void = () => {}
  let scanning: Scanning | undefined
  const exited = new Promise<void>(resolve => {
    reader.once('exit', () => resolve())
  })
  const end = async (): Promise<void> => {
    scanning?.stop()
    await started.end()
  }
  const fail = (error: unknown): void => {
    failure ??= error
    end().catch(() => {})
  }
  reader.on('error', fail)
  reader.on('message', (message: FromReader) => onMessage(message))

  return {
    end,
    scan({ paths, excludes, oneFileSystem }) {
      scanning = startScanning({ paths, exclude: createExclude(excludes), oneFileSystem }, group => tell({ kind: 'scanned', ...group }))
    },
    async run(site, { work, session, signal, onProgress, onUnreadable }) {
      let done: ReaderDone | undefined
      const uploads = createUploads(
        records => site.upload(session, records),
        ordinals => tell({ kind: 'acknowledged', ordinals }),
        fail,
      )
      const answer = (call: number, bytes: Promise<Uint8Array>): void => {
        bytes.then(found => tell({ kind: 'answer', call, bytes: found })).catch(fail)
      }
      onMessage = message => {
        if (message.kind === 'record') uploads.add(message.ordinal, bufferOf(message.bytes))
        else if (message.kind === 'taken') scanning?.giveBack(message.group, message.isContentWanted)
        else if (message.kind === 'flush') uploads.flush()
        else if (message.kind === 'ask') answer(message.call, site.missing(session, bufferOf(message.ids)))
        else if (message.kind === 'fetch') answer(message.call, fetchRecord(site, bufferOf(message.id)))
        else if (message.kind === 'commit')
          answer(
            message.call,
            site.commit(session, bufferOf(message.bytes)).then(() => NOTHING),
          )
        else if (message.kind === 'progress') onProgress(message.counts, message.path)
        else if (message.kind === 'unreadable') onUnreadable(message.item)
        else if (message.kind === 'done') done = message
      }
      const onAbort = (): void => fail(signal.reason)
      if (signal.aborted) onAbort()
      signal.addEventListener('abort', onAbort)
      tell({ kind: 'begin', work })
      await exited
      signal.removeEventListener('abort', onAbort)
      if (!done || failure !== undefined) throw faultOf(failure)
      return { done, sent_bytes: uploads.sent_bytes }
    },
  }
}

/** One record, or nothing if it is not stored or does not arrive whole. */
async function fetchRecord(site: Site, id: Buffer): Promise<Uint8Array> {
  let found: Uint8Array = NOTHING
  try {
    await site.read(id, record => {
      found = Uint8Array.from(parseRecord(record).bytes)
    })
  } catch (error) {
    if (!isFault(error, 'RECORD_UNKNOWN', 'RECORD_ALTERED', 'ARCHIVE_DAMAGED')) throw error
  }
  return found
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A fault loses its class on its way out of a thread: it is made one again. */
function faultOf(error: unknown): unknown {
  if (error instanceof Error && !(error instanceof Fault) && 'code' in error && 'exit' in error && 'next' in error)
    return Object.setPrototypeOf(error, Fault.prototype)
  return error ?? new Error('the reader thread ended early')
}
