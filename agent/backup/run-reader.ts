// One backup, from the first directory to the committed snapshot: the scan joined with the last snapshot.

import { type Attributes, readAttributes } from '#filesystem/attributes.ts'
import { FACT, type FileStats } from '#filesystem/file-stats.ts'
import { readHoles } from '#filesystem/libc.ts'
import { groupNames, userNames } from '#filesystem/names.ts'
import { contentOf, depthOf, entryWord, FLAG, flagsOf, nameBytes, nameOf, nameStart, type ScanGroup, statsOf } from '#filesystem/scan-group.ts'
import { bytePath } from '#filesystem/system-path.ts'
import { createEndsPage } from '#format/cut.ts'
import type { ArchiveKeys } from '#format/keys.ts'
import { createPacker, type Packer } from '#format/pack.ts'
import { createPageBuilder, type NewEntry, TYPE, TYPE_MASK } from '#format/page.ts'
import { comparePaths } from '#format/path-order.ts'
import { recordId, sealRecord } from '#format/seal.ts'
import { encodeSnapshot } from '#format/snapshot.ts'
import { encodeSnapshotClear } from '#protocol/clear-part.ts'
import { Fault } from '#protocol/fault.ts'
import { KIND } from '#protocol/record.ts'
import { createRecordMemory } from '#site/record-memory.ts'
import { entriesDropped } from '#site/short-lived-memory.ts'
import { openBase } from './base.ts'
import type { Cache } from './cache.ts'
import { createContent, type ReadContent } from './content.ts'
import { createHardLinks } from './hard-links.ts'
import type { BackupCounts, BackupWork } from './messages.ts'
import { createPaging } from './paging.ts'
import { createPrevious, type PreviousCursor } from './previous.ts'
import type { ScannedMessage } from './scanning.ts'
import { createSending } from './sending.ts'
import { UNREADABLE_MAX, type Unreadable } from './unreadable.ts'

export type ReaderLink = {
  ask(ids: Buffer): Promise<Uint8Array>
  /** A record by its id, or nothing if it can't be had. */
  fetch(id: Buffer): Promise<Buffer>
  commit(record: Buffer): Promise<void>
  /**
   * The next entries of the scan, none at its end. They are overwritten once more are asked for.
   *
   * @param isContentWanted  all files from here on will be stored
   */
  scanned(isContentWanted: boolean): Promise<ScannedGroup>
  send(ordinal: number, record: Buffer): void
  /** Nothing more is sent until what was is durable. */
  flush(): void
  progress(counts: BackupCounts, path: string): void
  unreadable(item: Unreadable): void
  onAcknowledged(listener: (ordinals: readonly number[]) => void): void
}

export type ScannedGroup = { readonly group: ScanGroup } & Pick<ScannedMessage, 'count' | 'begin_ms' | 'unreadable'>
/** One scanned entry that is new or changed. */
type Scanned = { readonly path: string; readonly stats: FileStats }

const PROGRESS_MS = 200
const PROGRESS_ENTRIES = 64
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

  const base = await openBase(work, keys, cache, link.fetch)
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
      entriesDropped(builder.count)
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
  const links = createHardLinks()
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
  /** The same of a file that was read by the scan. A promise only if there is no room at once. */
  const scannedEntryOf = ({ path, stats }: Scanned, content_: Buffer, hasXattrs: boolean, read_ms: number): NewEntry | Promise<NewEntry> => {
    const make = (read: ReadContent): NewEntry =>
      makeEntry(path, stats, read, hasXattrs ? attributesOf({ path, stats }) : NO_ATTRIBUTES, BigInt(read_ms) * 1_000_000n)
    const read = content.takeNow(content_, stats)
    return read ? make(read) : content.take(content_, stats).then(make)
  }
  const count = (type: number, size: number): void => {
    if (type === TYPE.file) {
      counts.files++
      total_bytes += size
    } else if (type === TYPE.directory) counts.directories++
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
  const seek = async (path: string): Promise<boolean> => {
    while (previous.current) {
      const order = comparePaths(previous.path(), path)
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
  // mean equal paths, so that for an unchanged file not even a string is made.
  const directories: string[] = ['']
  let untilProgress = 1
  for (;;) {
    const scanned = await link.scanned(previous.current === undefined && !work.isDryRun)
    for (const { path, reason } of scanned.unreadable) report(path, reason)
    if (scanned.count === 0) break
    const { group } = scanned
    for (let i = 0; i < scanned.count; i++) {
      const at = entryWord(i)
      const type = (group.words.u32[at + FACT.mode] as number) & TYPE_MASK
      const size = group.words.f64[(at + FACT.size) >> 1] as number
      const depth = depthOf(group, i)
      const name_at = nameStart(group, i)
      const pathOf = (): string => (depth === 1 ? nameOf(group, i) : `${directories[depth - 1]}/${nameOf(group, i)}`)
      if (type === TYPE.directory) directories[depth] = pathOf()
      count(type, size)
      isInStep &&= previous.depth() === depth && previous.isNamed(group.names, name_at, name_at + nameBytes(group, i))
      const isThere: boolean = isInStep || (await seek(pathOf()))
      isInStep = isThere
      if (isThere && isSame(previous, group, i, type)) {
        const ended = paging.keep(previous)
        if (ended) await ended
        if (!previous.step()) await previous.loadNext()
        while (previous.current && isContinuation(previous) && previous.depth() === depth && previous.name() === nameOf(group, i)) await pass(keep)
      } else {
        if (isThere) await pass(drop)
        if (type === TYPE.file) counts.changed_files++
        const changed = { path: pathOf(), stats: statsOf(group, i) }
        const flags = flagsOf(group, i)
        const pending =
          (flags & FLAG.hasContent) === 0 || work.isDryRun
            ? entryOf(changed)
            : scannedEntryOf(changed, contentOf(group, i, size), (flags & FLAG.hasXattrs) !== 0, scanned.begin_ms)
        const entry = pending instanceof Promise ? await pending : pending
        const paged = entry && paging.add(entry)
        if (paged) await paged
      }
      if (--untilProgress === 0) {
        untilProgress = PROGRESS_ENTRIES
        showProgress(pathOf())
      }
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
function isSame(cursor: PreviousCursor, group: ScanGroup, scanned: number, type: number): boolean {
  const old = cursor.current
  const i = cursor.index
  const at = entryWord(scanned)
  const { u32, f64 } = group.words
  if (old === undefined || old.page.mode[i] !== u32[at + FACT.mode]) return false
  if ((flagsOf(group, scanned) & FLAG.isAbove) !== 0) return old.page.uid[i] === u32[at + FACT.uid] && old.page.gid[i] === u32[at + FACT.gid]
  const low = 2 * i
  const high = low + 1
  return (
    old.ctime[low] === u32[at + FACT.ctime_ns] &&
    old.ctime[high] === u32[at + FACT.ctime_ns + 1] &&
    old.mtime[low] === u32[at + FACT.mtime_ns] &&
    old.mtime[high] === u32[at + FACT.mtime_ns + 1] &&
    old.ino[low] === u32[at + FACT.ino] &&
    old.ino[high] === u32[at + FACT.ino + 1] &&
    (type !== TYPE.file || old.page.size[i] === f64[(at + FACT.size) >> 1])
  )
}

/** An errno name; what is no error of the world is thrown on. */
function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (typeof code !== 'string' || error instanceof Fault) throw error
  return code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO' ? 'VANISHED' : code
}
