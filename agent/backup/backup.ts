// A backup as the main thread sees it: opens the session, has the reader thread do the work, and commits. Holds no key.
import { hostname } from 'node:os'
import type { Device } from '#protocol/authority-api.ts'
import { isFault } from '#protocol/fault.ts'
import type { Session } from '#protocol/storage-api.ts'
import type { Site } from '#site/site.ts'
import { fault } from './errors.ts'
import type { BackupCounts } from './messages.ts'
import { createReaderThread, type ReaderThread } from './reader-thread.ts'
import { startReaderWorker } from './reader-worker.ts'
import type { Unreadable } from './unreadable.ts'

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

/**
 * Backs up once and commits a snapshot, durable on the storage node when this resolves.
 *
 * @param reader  ends with the backup
 * @throws SESSION_BUSY, ARCHIVE_ROLLED_BACK, UNREACHABLE, and whatever else the site answers; what was sent stays and is not sent again
 */
export async function backUp(site: Site, reader: ReaderThread, options: BackupOptions): Promise<BackupResult> {
  const start_ms = performance.now()
  try {
    return await backUpOnce(site, reader, options, false, start_ms)
  } catch (error) {
    // The storage node lacks something that it once had: every file is read again, and what is missing is sent.
    if (!isFault(error, 'SNAPSHOT_INCOMPLETE')) throw error
    return backUpOnce(site, createReaderThread(startReaderWorker()), options, true, start_ms).catch((again: unknown) => {
      throw isFault(again, 'SNAPSHOT_INCOMPLETE') ? fault('BACKUP_UNFINISHED', { cause: again }) : again
    })
  }
}

async function backUpOnce(site: Site, reader: ReaderThread, options: BackupOptions, isDistrustful: boolean, start_ms: number): Promise<BackupResult> {
  try {
    reader.scan(options)
    const [session, device] = await Promise.all([site.openSession(), site.device()])
    try {
      return await backUpInSession(site, reader, options, isDistrustful, session, device, start_ms)
    } finally {
      await site.closeSession(session.session).catch(() => {})
    }
  } finally {
    await reader.end()
  }
}

async function backUpInSession(
  site: Site,
  reader: ReaderThread,
  options: BackupOptions,
  isDistrustful: boolean,
  { session, head, records }: Session,
  device: Device,
  start_ms: number,
): Promise<BackupResult> {
  if (device.head && (head === null || head.sequence < device.head.sequence)) {
    throw fault('ARCHIVE_ROLLED_BACK', { expected: `snapshot ${device.head.sequence} or later`, found: head === null ? 'none' : `snapshot ${head.sequence}` })
  }
  const { home, paths, agentVersion, compressionLevel, isDryRun } = options
  const { archive } = site
  const isArchiveEmpty = records === 0
  const unreadable: Unreadable[] = []
  const { done, sent_bytes } = await reader.run(site, {
    work: { home, archive, paths, hostname: hostname(), agentVersion, compressionLevel, isDryRun, head, isArchiveEmpty, isDistrustful },
    session,
    signal: options.signal,
    onProgress: options.onProgress,
    onUnreadable: item => {
      unreadable.push(item)
      options.onUnreadable(item)
    },
  })
  if (!isDryRun) await site.putHead({ snapshot: done.snapshot, sequence: done.sequence })
  return {
    snapshot: isDryRun ? undefined : done.snapshot,
    sequence: done.sequence,
    counts: done.counts,
    sent_bytes,
    unreadable,
    elapsed_ms: Math.round(performance.now() - start_ms),
  }
}
