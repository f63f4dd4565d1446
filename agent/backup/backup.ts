// A backup as the main thread sees it: opens the session, starts the reader thread, carries its records to the storage
// node with a few uploads at once, and commits. Holds no key.
import { hostname } from 'node:os'
import { Worker } from 'node:worker_threads'
import { Fault, isFault } from '#protocol/fault.ts'
import { parseRecord } from '#protocol/record.ts'
import type { Site } from '#site/site.ts'
import { fault } from './errors.ts'
import type { BackupCounts, BackupWork, FromReader, ToReader } from './messages.ts'
import { readBatch } from './read-batch.ts'
import type { Unreadable } from './unreadable.ts'
import { createUploads } from './uploads.ts'

export type BackupOptions = {
  readonly home: string
  /** Absolute paths. */
  readonly paths: readonly string[]
  /** gitignore patterns. */
  readonly excludes: readonly string[]
  readonly oneFileSystem: boolean
  readonly isDryRun: boolean
  readonly compressionLevel: number
  readonly agentVersion: string
  readonly signal: AbortSignal
  readonly onProgress: (counts: BackupCounts, path: string) => void
  readonly onUnreadable: (item: Unreadable) => void
}

export type BackupResult = {
  /** Id of the committed snapshot in hex; undefined after a dry run. */
  readonly snapshot: string | undefined
  readonly sequence: number
  readonly counts: BackupCounts
  readonly sent_bytes: number
  readonly unreadable: readonly Unreadable[]
  readonly elapsed_ms: number
}

const NOTHING = new Uint8Array()
const READER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4, stackSizeMb: 2 }

/**
 * Backs up once and commits a snapshot, durable on the storage node when this resolves.
 *
 * @throws SESSION_BUSY, ARCHIVE_ROLLED_BACK, UNREACHABLE, and whatever else the site answers; what was sent stays and is not sent again
 */
export async function backUp(site: Site, options: BackupOptions): Promise<BackupResult> {
  const start_ms = performance.now()
  try {
    return await backUpOnce(site, options, false, start_ms)
  } catch (error) {
    // The storage node lacks something that it once had: every file is read again, and what is missing is sent.
    if (!isFault(error, 'SNAPSHOT_INCOMPLETE')) throw error
    return backUpOnce(site, options, true, start_ms).catch((again: unknown) => {
      throw isFault(again, 'SNAPSHOT_INCOMPLETE') ? fault('BACKUP_UNFINISHED', { cause: again }) : again
    })
  }
}

async function backUpOnce(site: Site, options: BackupOptions, isDistrustful: boolean, start_ms: number): Promise<BackupResult> {
  const [session, device] = await Promise.all([site.openSession(), site.device()])
  try {
    const { head } = session
    if (device.head && (head === null || head.sequence < device.head.sequence)) {
      throw fault('ARCHIVE_ROLLED_BACK', { expected: `snapshot ${device.head.sequence} or later`, found: head === null ? 'none' : `snapshot ${head.sequence}` })
    }
    const work: BackupWork = {
      home: options.home,
      archive: site.archive,
      paths: options.paths,
      excludes: options.excludes,
      oneFileSystem: options.oneFileSystem,
      hostname: hostname(),
      agentVersion: options.agentVersion,
      compressionLevel: options.compressionLevel,
      isDryRun: options.isDryRun,
      head,
      isArchiveEmpty: session.records === 0,
      isDistrustful,
    }
    const unreadable: Unreadable[] = []
    const { done, sent_bytes } = await runReaderThread(site, session.session, work, options, item => {
      unreadable.push(item)
      options.onUnreadable(item)
    })
    if (!options.isDryRun) await site.putHead({ snapshot: done.snapshot, sequence: done.sequence })
    return {
      snapshot: options.isDryRun ? undefined : done.snapshot,
      sequence: done.sequence,
      counts: done.counts,
      sent_bytes,
      unreadable,
      elapsed_ms: Math.round(performance.now() - start_ms),
    }
  } finally {
    await site.closeSession(session.session).catch(() => {})
  }
}

type Done = Extract<FromReader, { kind: 'done' }>

function runReaderThread(
  site: Site,
  session: string,
  work: BackupWork,
  options: BackupOptions,
  onUnreadable: (item: Unreadable) => void,
): Promise<{ done: Done; sent_bytes: number }> {
  return new Promise((resolve, reject) => {
    const reader = new Worker(new URL('./reader.ts', import.meta.url), { workerData: work, resourceLimits: READER_LIMITS })
    let done: Done | undefined
    let failure: unknown
    const tell = (message: ToReader): void => reader.postMessage(message)
    const started = Promise.withResolvers<void>()
    const fail = (error: unknown): void => {
      failure ??= error
      started.promise.then(() => reader.terminate()).catch(() => {})
    }
    const uploads = createUploads(
      records => site.upload(session, records),
      ordinals => tell({ kind: 'acknowledged', ordinals }),
      fail,
    )
    const answer = (call: number, bytes: Promise<Uint8Array>): void => {
      bytes.then(found => tell({ kind: 'answer', call, bytes: found })).catch(fail)
    }
    const onAbort = (): void => fail(options.signal.reason)
    options.signal.addEventListener('abort', onAbort)
    reader.on('message', (message: FromReader) => {
      if (message.kind === 'record') uploads.add(message.ordinal, bufferOf(message.bytes))
      else if (message.kind === 'flush') uploads.flush()
      else if (message.kind === 'ask') answer(message.call, site.missing(session, bufferOf(message.ids)))
      else if (message.kind === 'fetch') answer(message.call, fetchRecord(site, bufferOf(message.id)))
      else if (message.kind === 'read') {
        readBatch(message.batch)
        tell({ kind: 'answer', call: message.call, bytes: NOTHING })
      } else if (message.kind === 'commit')
        answer(
          message.call,
          site.commit(session, bufferOf(message.bytes)).then(() => NOTHING),
        )
      else if (message.kind === 'started') started.resolve()
      else if (message.kind === 'progress') options.onProgress(message.counts, message.path)
      else if (message.kind === 'unreadable') onUnreadable(message.item)
      else done = message
    })
    reader.on('error', fail)
    reader.on('exit', () => {
      options.signal.removeEventListener('abort', onAbort)
      if (done && failure === undefined) resolve({ done, sent_bytes: uploads.sent_bytes })
      else reject(faultOf(failure))
    })
  })
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
