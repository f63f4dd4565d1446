// One backup, from the first directory to the committed snapshot: the scan joined with the last snapshot.

import { type Attributes, readAttributes } from '#filesystem/attributes.ts'
import { createExclude } from '#filesystem/exclude.ts'
import type { FileStats } from '#filesystem/file-stats.ts'
import { readHoles } from '#filesystem/libc.ts'
import { groupNames, userNames } from '#filesystem/names.ts'
import { createScan, type Scanned } from '#filesystem/scan.ts'
import { bytePath } from '#filesystem/system-path.ts'
import { createEndsPage } from '#format/cut.ts'
import type { ArchiveKeys } from '#format/keys.ts'
import { createPacker, type Packer } from '#format/pack.ts'
import { createPageBuilder, decodePage, type NewEntry, type Page } from '#format/page.ts'
import { comparePaths } from '#format/path-order.ts'
import { openRecord, recordId, sealRecord } from '#format/seal.ts'
import { encodeSnapshot } from '#format/snapshot.ts'
import { encodeSnapshotClear, parseSnapshotClear } from '#protocol/clear-part.ts'
import { Fault } from '#protocol/fault.ts'
import { KIND, parseRecord } from '#protocol/record.ts'
import { createRecordMemory } from '#site/record-memory.ts'
import type { Cache } from './cache.ts'
import { createContent, type ReadContent } from './content.ts'
import { createHardLinks } from './hard-links.ts'
import type { BackupCounts, BackupWork } from './messages.ts'
import { createPaging } from './paging.ts'
import { createPrevious, type PageList, type PreviousCursor } from './previous.ts'
import { createReadAhead, type Prepared } from './read-ahead.ts'
import type { Batch } from './read-batch.ts'
import { createSending } from './sending.ts'
import { UNREADABLE_MAX, type Unreadable } from './unreadable.ts'

export type ReaderLink = {
  ask(ids: Buffer): Promise<Uint8Array>
  /** A record by its id, or nothing if it can't be had. */
  fetch(id: Buffer): Promise<Buffer>
  commit(record: Buffer): Promise<void>
  /** Reads small files into memory that is shared (read-batch.ts). */
  read(batch: Batch): Promise<void>
  send(ordinal: number, record: Buffer): void
  /** Nothing more is sent until what was is durable. */
  flush(): void
  progress(counts: BackupCounts, path: string): void
  unreadable(item: Unreadable): void
  onAcknowledged(listener: (ordinals: readonly number[]) => void): void
}

const PROGRESS_MS = 200
/** A file changed so shortly before it was read may change again without its times showing it: it is read again next time. */
const RACY_NS = 20_000_000n
const NO_ATTRIBUTES: Attributes = {}
const nothing = (): void => {}

/**
 * Backs up what `work` says and commits the snapshot.
 *
 * @returns counts, and the snapshot's id (hex; empty after a dry run)
 */
export async function runReader(work: BackupWork, keys: ArchiveKeys, cache: Cache, link: ReaderLink): Promise<Outcome> {
  const packer = createPacker(work.compressionLevel)
  try {
    return await readAndCommit(work, keys, cache, link, packer)
  } finally {
    packer.close()
  }
}

type Outcome = { readonly counts: BackupCounts; readonly snapshot: string; readonly sequence: number }

async function readAndCommit(work: BackupWork, keys: ArchiveKeys, cache: Cache, link: ReaderLink, packer: Packer): Promise<Outcome> {
  const start_ms = Date.now()
  const counts: BackupCounts = { files: 0, directories: 0, others: 0, changed_files: 0, read_bytes: 0, new_blocks: 0, reused_pages: 0, new_pages: 0 }
  const unreadable: Unreadable[] = []
  const report = (path: string, reason: string): void => {
    const item = { path, reason }
    if (unreadable.length < UNREADABLE_MAX && reason !== 'SOCKET') unreadable.push(item)
    link.unreadable(item)
  }

  const base = await openBase(work, keys, cache, link)
  const pages: { id: Buffer; lastPath: string; ordinal: number }[] = []
  const knownPages = new Set(base.pageIds.map(id => id.toString('latin1')))
  let pagesDurable = 0
  const placesByOrdinal = new Map<number, Parameters<Cache['putPlaces']>[0]>()
  let remembering: Promise<void> = Promise.resolve()
  const sending = createSending({
    keys,
    packer,
    link,
    memory: createRecordMemory(),
    isAskNeeded: !work.isArchiveEmpty,
    isKnown: id => !work.isDistrustful && knownPages.has(id.toString('latin1')),
    onDurable(through) {
      for (const [ordinal, places] of placesByOrdinal) {
        if (ordinal > through) break
        placesByOrdinal.delete(ordinal)
        remembering = remembering.then(() => cache.putPlaces(places)).then(() => content.forgetPending(places))
      }
      while (pagesDurable < pages.length && pages[pagesDurable].ordinal <= through) {
        const ordinal = pagesDurable++
        remembering = remembering.then(() => cache.putUnfinished(ordinal, pages[ordinal]))
      }
      remembering.catch(sending.fail)
    },
  })
  link.onAcknowledged(sending.acknowledged)
  const content = createContent({
    keys,
    cache,
    sending,
    isDistrustful: work.isDistrustful,
    onPlaces: (ordinal, places) => {
      if (places.length > 0) placesByOrdinal.set(ordinal, [...(placesByOrdinal.get(ordinal) ?? []), ...places])
    },
    holesOf: (fd, stats) => readHoles(fd, stats.size),
  })
  let lastOrdinal = 0
  let total_bytes = 0
  const builder = createPageBuilder()

  const paging = createPaging(builder, createEndsPage(keys), {
    reuse({ id, page }) {
      counts.reused_pages++
      pages.push({ id, lastPath: page.path(page.count - 1), ordinal: lastOrdinal })
    },
    async build() {
      content.closePack()
      const { lastPath } = builder
      const { plaintext, clear } = builder.finish(userNames(), groupNames())
      await sending.room()
      const { id, ordinal } = sending.put(KIND.page, plaintext, clear, nothing, record => cache.putPage(id, record))
      lastOrdinal = ordinal
      counts.new_pages++
      pages.push({ id, lastPath, ordinal })
    },
    tooLarge: report,
  })

  const previous = createPrevious(base.lists, base.load)
  await previous.loadNext()
  const scan = createScan({ paths: work.paths, exclude: createExclude(work.excludes), oneFileSystem: work.oneFileSystem, onUnreadable: report })
  const links = createHardLinks()
  const ahead = createReadAhead(scan, link.read)
  let isInStep = false
  let nextProgress_ms = start_ms + PROGRESS_MS

  const attributesOf = (scanned: Scanned): Attributes => {
    try {
      return readAttributes(scanned.path, scanned.stats, error => report(scanned.path, reasonOf(error)))
    } catch (error) {
      report(scanned.path, reasonOf(error))
      return {}
    }
  }
  /** A changed entry as it is now. A directory always has one: what is in it follows. */
  const entryOf = async (scanned: Scanned): Promise<NewEntry | undefined> => {
    const now_ns = BigInt(Date.now()) * 1_000_000n
    let read: ReadContent | undefined
    if (scanned.stats.isFile() && !work.isDryRun) {
      try {
        read = links.find(scanned.stats) ?? (await content.read(scanned.path, scanned.stats))
      } catch (error) {
        report(scanned.path, reasonOf(error))
        return undefined
      }
      if (read.isUnstable) report(scanned.path, 'CHANGED')
    }
    const attributes = attributesOf(scanned)
    if (scanned.stats.isSymlink() && attributes.target === undefined) return undefined
    const entry = makeEntry(scanned.path, read?.stats ?? scanned.stats, read, attributes, now_ns)
    // Not if it changed so shortly before that its times might not tell.
    if (read && !read.isUnstable && entry.ctime_ns !== 0n) links.remember(read)
    return entry
  }
  /** The same of a file that was read ahead. A promise only if there is no room at once. */
  const preparedEntryOf = (scanned: Scanned, prepared: Prepared): NewEntry | Promise<NewEntry> => {
    const make = (read: ReadContent): NewEntry =>
      makeEntry(scanned.path, scanned.stats, read, prepared.hasXattrs ? attributesOf(scanned) : NO_ATTRIBUTES, prepared.asked_ns)
    const read = content.takeNow(prepared.bytes, scanned.stats)
    return read ? make(read) : content.take(prepared.bytes, scanned.stats).then(make)
  }
  const count = (scanned: Scanned): void => {
    if (scanned.stats.isFile()) {
      counts.files++
      total_bytes += scanned.stats.size
    } else if (scanned.stats.isDirectory()) counts.directories++
    else counts.others++
  }
  /** Leaves the entry under the cursor behind, with the parts of it in later pages. */
  const pass = async (visit: () => Promise<void> | undefined): Promise<void> => {
    const depth = previous.depth()
    const name = previous.name()
    do {
      await visit()
      if (!previous.step()) await previous.loadNext()
    } while (previous.current && previous.depth() === depth && previous.name() === name && isContinuation(previous))
  }
  const keep = (): Promise<void> | undefined => paging.keep(previous)
  const drop = (): undefined => {
    paging.drop(previous)
  }
  /** Passes over entries of the last snapshot that come before the scanned one; says whether the cursor is at it. */
  const seek = async (scanned: Scanned): Promise<boolean> => {
    while (previous.current) {
      const order = comparePaths(previous.path(), scanned.path)
      if (order >= 0) return order === 0
      await pass(drop)
    }
    return false
  }
  const showProgress = (path: string): void => {
    const now_ms = Date.now()
    if (now_ms < nextProgress_ms) return
    nextProgress_ms = now_ms + PROGRESS_MS
    counts.read_bytes = content.counts.read_bytes
    counts.new_blocks = sending.counts.new_blocks
    link.progress(counts, path)
  }

  // Both streams are in path order. While they are in step (the entries before were the same), equal depth and name
  // mean equal paths, so that an unchanged file costs no comparison of whole paths.
  let untilProgress = 1
  for (;;) {
    const reading = ahead.ready(previous.current === undefined && !work.isDryRun)
    if (reading) await reading
    const next = ahead.take()
    if (!next) break
    const { scanned, prepared } = next
    count(scanned)
    const isThere: boolean = (isInStep && previous.depth() === scanned.depth && previous.name() === scanned.name) || (await seek(scanned))
    isInStep = isThere
    if (isThere && isSame(previous, scanned)) {
      const ended = paging.keep(previous)
      if (ended) await ended
      if (!previous.step()) await previous.loadNext()
      while (previous.current && previous.depth() === scanned.depth && previous.name() === scanned.name && isContinuation(previous)) await pass(keep)
    } else {
      if (isThere) await pass(drop)
      if (scanned.stats.isFile()) counts.changed_files++
      const pending = prepared ? preparedEntryOf(scanned, prepared) : entryOf(scanned)
      const entry = pending instanceof Promise ? await pending : pending
      const paged = entry && paging.add(entry)
      if (paged) await paged
    }
    if (--untilProgress === 0) {
      untilProgress = 64
      showProgress(scanned.path)
    }
  }
  while (previous.current) await pass(drop)
  if (work.isDryRun) return { counts, snapshot: '', sequence: 0 }
  await paging.end()
  await sending.drain()
  await remembering

  const sequence = (work.head?.sequence ?? 0) + 1
  const clear = encodeSnapshotClear({ sequence, previous: work.head ? Buffer.from(work.head.snapshot, 'hex') : undefined, pages: pages.map(page => page.id) })
  counts.read_bytes = content.counts.read_bytes
  counts.new_blocks = sending.counts.new_blocks
  const plaintext = encodeSnapshot({
    hostname: work.hostname,
    paths: work.paths.map(bytePath),
    start_ms,
    end_ms: Date.now(),
    agent_version: work.agentVersion,
    counts: { files: counts.files, directories: counts.directories, others: counts.others, bytes: total_bytes },
    unreadable,
    sequence,
  })
  const id = recordId(keys, KIND.snapshot, plaintext)
  const record = await packer.pack(plaintext, packed => sealRecord(keys, keys.archive, keys.newestEpoch, KIND.snapshot, id, clear, packed))
  await link.commit(record)
  await cache.keep(
    record,
    pages.map(page => page.id),
  )
  return { counts, snapshot: id.toString('hex'), sequence }
}

/** The last snapshot (and the pages of a backup that did not end), as lists of pages in path order. */
async function openBase(
  work: BackupWork,
  keys: ArchiveKeys,
  cache: Cache,
  link: ReaderLink,
): Promise<{ lists: PageList[]; pageIds: Buffer[]; load: (id: Buffer) => Promise<Page | undefined> }> {
  const load = async (id: Buffer): Promise<Page | undefined> => {
    for (const get of [(): Buffer | undefined => cache.page(id), (): Promise<Buffer> => link.fetch(id)]) {
      const bytes = await get()
      if (!bytes || bytes.length === 0) continue
      try {
        const record = parseRecord(bytes)
        if (!record.header.id.equals(id)) continue
        const page = decodePage(openRecord(keys, keys.archive, record.bytes), record.clear)
        if (get.length === 0) cache.putPage(id, bytes)
        return page
      } catch {
        // Torn in the cache, or damaged on the storage node: its files are read again.
      }
    }
    return undefined
  }
  if (work.isDistrustful) {
    await cache.clear()
    return { lists: [], pageIds: [], load }
  }
  const unfinished = await cache.unfinished()
  const lists: PageList[] = [{ ids: unfinished.map(page => page.id), after: undefined }]
  const pageIds = unfinished.map(page => page.id)
  if (work.head) {
    const head = Buffer.from(work.head.snapshot, 'hex')
    const cached = cache.snapshot()
    const bytes = cached && parseRecord(cached).header.id.equals(head) ? cached : await link.fetch(head)
    const record = parseRecord(bytes)
    openRecord(keys, keys.archive, record.bytes)
    const { pages } = parseSnapshotClear(record.clear)
    lists.push({ ids: pages, after: unfinished.at(-1)?.lastPath })
    pageIds.push(...pages)
  }
  return { lists, pageIds, load }
}

/** All fields in the same order, present or not: entries of one shape are cheaper. */
const makeEntry = (path: string, stats: FileStats, read: ReadContent | undefined, attributes: Attributes, read_ns: bigint): NewEntry => ({
  path,
  mode: stats.mode,
  uid: stats.uid,
  gid: stats.gid,
  size: read?.size ?? 0,
  mtime_ns: stats.mtime_ns,
  ctime_ns: stats.ctime_ns > read_ns - RACY_NS ? 0n : stats.ctime_ns,
  ino: stats.ino,
  dev: stats.dev,
  nlink: stats.nlink,
  content: read?.content,
  extents: read?.extents ?? [],
  target: attributes.target,
  rdev: attributes.rdev,
  xattrs: attributes.xattrs,
  holes: read?.holes,
})

const isContinuation = (cursor: PreviousCursor): boolean => cursor.current?.page.rare(cursor.index)?.continuation === true

/**
 * Whether an entry is as the last snapshot has it. Device numbers are left out: they change from boot to boot. Of a
 * directory above the backup set only mode and owner count: its times change with what is none of ours.
 */
function isSame(cursor: PreviousCursor, { stats, isAbove }: Scanned): boolean {
  const page = cursor.current?.page
  const i = cursor.index
  if (page === undefined || page.mode[i] !== stats.mode) return false
  if (isAbove) return page.uid[i] === stats.uid && page.gid[i] === stats.gid
  return (
    page.ctime_ns[i] === stats.ctime_ns && page.mtime_ns[i] === stats.mtime_ns && page.ino[i] === stats.ino && (page.size[i] === stats.size || !stats.isFile())
  )
}

/** An errno name; what is no error of the world is thrown on. */
function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (typeof code !== 'string' || error instanceof Fault) throw error
  return code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO' ? 'VANISHED' : code
}
