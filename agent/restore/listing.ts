// What is in snapshots: `ls`, `find` and `diff`. All of them read pages as streams, and only those that they need.
import type { ArchiveKeys } from '#format/keys.ts'
import { type Entry, entryAt, TYPE, TYPE_MASK } from '#format/page.ts'
import { comparePaths } from '#format/path-order.ts'
import { displayPath } from './byte-path.ts'
import { fault } from './errors.ts'
import { type OpenPage, readPages } from './pages.ts'
import type { RecordSource } from './record-source.ts'
import { createSelection, type Selection } from './selection.ts'
import type { OpenSnapshot } from './snapshots.ts'

const EVERYTHING = createSelection([])

/** Entries of a snapshot in path order, each file once. A page that is lost is thrown. */
export async function* entriesIn(
  source: RecordSource,
  keys: ArchiveKeys,
  pages: readonly Buffer[],
  selection: Selection = EVERYTHING,
  isNeeded?: (ordinal: number) => boolean,
): AsyncGenerator<Entry> {
  for await (const read of readPages(source, keys, pages, selection, isNeeded)) {
    if ('lost' in read) throw read.lost
    yield* entriesOfPage(read, selection)
  }
}

function* entriesOfPage({ page }: OpenPage, selection: Selection): Generator<Entry> {
  for (let i = 0; i < page.count; i++) {
    if (!selection.has(page.path(i)) || page.rare(i)?.continuation) continue
    yield entryAt(page, i)
  }
}

/**
 * What `ls` shows: the entries right in a directory, or a file itself, or (isDeep) all below.
 *
 * @param path  byte string; '' is the root
 * @throws PATH_NOT_IN_SNAPSHOT
 */
export async function* list(source: RecordSource, keys: ArchiveKeys, snapshot: OpenSnapshot, path: string, isDeep: boolean): AsyncGenerator<Entry> {
  const depth = path === '' ? 0 : path.split('/').length
  let isFound = path === ''
  let lastTop = ''
  for await (const entry of entriesIn(source, keys, snapshot.pages, createSelection([path]))) {
    isFound = true
    const parts = entry.path.split('/')
    if (parts.length === depth) {
      if ((entry.mode & TYPE_MASK) !== TYPE.directory) yield entry
      continue
    }
    const top = parts.slice(0, depth + 1).join('/')
    if (isDeep || parts.length === depth + 1) yield entry
    // Directories above what was backed up have no entry of their own, but lead to it.
    else if (top !== lastTop) yield directoryOnTheWay(entry, top)
    lastTop = top
  }
  if (!isFound) throw fault('PATH_NOT_IN_SNAPSHOT', { found: displayPath(path) })
}

const directoryOnTheWay = (below: Entry, path: string): Entry => ({
  path,
  mode: TYPE.directory | 0o755,
  uid: below.uid,
  gid: below.gid,
  size: 0,
  mtime_ns: below.mtime_ns,
  ctime_ns: 0n,
  ino: 0n,
  dev: 0n,
  nlink: 1,
  extents: [],
})

export type Difference = { readonly kind: 'added' | 'removed' | 'changed'; readonly entry: Entry; readonly before: Entry | undefined }

/** The difference of two snapshots, in path order: both streams are read in step, pages that both have are not read at all. */
export async function* difference(source: RecordSource, keys: ArchiveKeys, older: OpenSnapshot, newer: OpenSnapshot): AsyncGenerator<Difference> {
  const inOlder = new Set(older.pages.map(id => id.toString('latin1')))
  const inNewer = new Set(newer.pages.map(id => id.toString('latin1')))
  const before = entriesIn(source, keys, older.pages, EVERYTHING, ordinal => !inNewer.has((older.pages[ordinal] as Buffer).toString('latin1')))
  const after = entriesIn(source, keys, newer.pages, EVERYTHING, ordinal => !inOlder.has((newer.pages[ordinal] as Buffer).toString('latin1')))
  let [a, b] = [await before.next(), await after.next()]
  while (!a.done || !b.done) {
    const order = a.done ? 1 : b.done ? -1 : comparePaths((a.value as Entry).path, (b.value as Entry).path)
    if (order < 0) {
      yield { kind: 'removed', entry: a.value as Entry, before: a.value as Entry }
      a = await before.next()
    } else if (order > 0) {
      yield { kind: 'added', entry: b.value as Entry, before: undefined }
      b = await after.next()
    } else {
      if (!isSame(a.value as Entry, b.value as Entry)) yield { kind: 'changed', entry: b.value as Entry, before: a.value as Entry }
      ;[a, b] = [await before.next(), await after.next()]
    }
  }
}

/** The same to a person: what is stored of a file, but for counters that change by themselves (ctime, inode, number of links). */
function isSame(a: Entry, b: Entry): boolean {
  const isDirectory = (a.mode & TYPE_MASK) === TYPE.directory
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    (isDirectory || (a.size === b.size && a.mtime_ns === b.mtime_ns)) &&
    (a.content?.equals(b.content ?? NO_CONTENT) ?? b.content === undefined) &&
    a.target === b.target &&
    String(a.rdev) === String(b.rdev) &&
    sameXattrs(a.xattrs, b.xattrs)
  )
}

const NO_CONTENT = Buffer.alloc(0)
const sameXattrs = (a: Entry['xattrs'] = [], b: Entry['xattrs'] = []): boolean =>
  a.length === b.length && a.every(([name, value], i) => name === b[i]?.[0] && value.equals(b[i][1]))
