// What an archive file is made of: the chosen entries of a snapshot in path order, read from its pages as a stream. A file
// that goes on over several pages comes in several parts, right behind one another. Invariants:
//   the same snapshot and paths give the same parts, so an archive made of them is the same each time;
//   what is missing or does not fit together is thrown, never passed over.
import type { ArchiveKeys } from '#format/keys.ts'
import { type Entry, type Page, TYPE, TYPE_MASK } from '#format/page.ts'
import { storedBytes } from '#restore/assembly.ts'
import { displayPath } from '#restore/byte-path.ts'
import { fault } from '#restore/errors.ts'
import { createHardLinks } from '#restore/hard-links.ts'
import { readPages } from '#restore/pages.ts'
import type { RecordSource } from '#restore/record-source.ts'
import { createSelection } from '#restore/selection.ts'

/** An entry without its content. Names and paths are byte strings. */
export type FileEntry = Pick<Entry, 'path' | 'mode' | 'uid' | 'gid' | 'size' | 'mtime_ns' | 'content' | 'target' | 'rdev' | 'xattrs' | 'holes'> & {
  readonly user: string | undefined
  readonly group: string | undefined
  /** Content without holes. */
  readonly stored_bytes: number
  /** The path of a name of the same file that came before. */
  readonly linkTo: string | undefined
}

export type Part = {
  readonly entry: FileEntry
  /** Where its extents are; the page may be used until the next part is asked for. */
  readonly page: Page
  readonly index: number
  readonly isFirst: boolean
  readonly isLast: boolean
}

export type Walk = {
  readonly source: RecordSource
  readonly keys: ArchiveKeys
  /** Of the snapshot. */
  readonly pages: readonly Buffer[]
  /** Byte strings; none: everything. */
  readonly paths: readonly string[]
  /** Whether further names of one file are links to the first of them. */
  readonly isLinking: boolean
}

/** A full collection takes some 5 ms and keeps the heap small, which may grow where many hard links are open (--expose-gc). */
const ENTRIES_BETWEEN = 4096

export const typeOf = (entry: FileEntry): number => entry.mode & TYPE_MASK
export const isFile = (entry: FileEntry): boolean => typeOf(entry) === TYPE.file

/**
 * Reads the parts of one archive.
 *
 * @throws PATH_NOT_IN_SNAPSHOT  at the end, for a path that selected nothing
 * @throws RECORD_DAMAGED, PAGE_INVALID, …  a page is lost
 */
export async function* readParts({ source, keys, pages, paths, isLinking }: Walk): AsyncGenerator<Part> {
  const selection = createSelection(paths)
  const links = createHardLinks()
  let open: { readonly entry: FileEntry; content_bytes: number } | undefined
  /** A file that is a link to another name: what goes on of it is of no use. */
  let linked: string | undefined

  const linkOf = (page: Page, index: number, path: string): string | undefined => {
    const mode = page.mode[index] as number
    const nlink = page.nlink[index] as number
    if (!isLinking || nlink < 2 || (mode & TYPE_MASK) === TYPE.directory) return undefined
    const key = `${page.devices[page.dev[index] as number]}:${page.ino[index]}:${mode}`
    const { primary, isFirst } = links.meet(key, nlink, page.contentOf(index)?.toString('latin1') ?? '', page.size[index] as number)
    if (isFirst) primary.path = path
    return isFirst ? undefined : primary.path
  }

  let dropped = 0
  for await (const read of readPages(source, keys, pages, selection)) {
    if ('lost' in read) throw read.lost
    const { page } = read
    const goesOn = page.rare(0)?.continuation === true ? page.path(0) : undefined
    if (open && goesOn !== open.entry.path) throw tornFile(open.entry.path, 'the page with its rest is not there')
    for (let index = 0; index < page.count; index++) {
      const path = page.path(index)
      if (!selection.has(path)) continue
      const isFirst = index > 0 || goesOn === undefined
      if (isFirst) open = { entry: entryOf(page, index, path, linkOf(page, index, path)), content_bytes: 0 }
      else if (path === linked) continue
      if (!open) throw tornFile(path, 'the page with its beginning is not there')
      const { entry } = open
      linked = entry.linkTo === undefined ? undefined : path
      for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) open.content_bytes += page.extentLength[extent] as number
      if (open.content_bytes > entry.stored_bytes) throw tornFile(path, 'its parts are longer than it is')
      const isLast = linked !== undefined || open.content_bytes === entry.stored_bytes
      if (isLast) open = undefined
      yield { entry, page, index, isFirst, isLast }
    }
    page.release()
    dropped += page.count
    if (dropped < ENTRIES_BETWEEN) continue
    dropped = 0
    globalThis.gc?.()
  }
  if (open) throw tornFile(open.entry.path, 'the page with its rest is not there')
  const unseen = selection.unseen().map(displayPath)
  if (unseen.length > 0) throw fault('PATH_NOT_IN_SNAPSHOT', { found: `${unseen.length} of ${selection.wanted.length} paths`, facts: { missing: unseen } })
}

const tornFile = (path: string, found: string): Error => fault('CONTENT_MISMATCH', { found, facts: { path: displayPath(path) } })

function entryOf(page: Page, index: number, path: string, linkTo: string | undefined): FileEntry {
  const rare = page.rare(index)
  const uid = page.uid[index] as number
  const gid = page.gid[index] as number
  const mode = page.mode[index] as number
  return {
    path,
    mode,
    uid,
    gid,
    user: page.users.get(uid),
    group: page.groups.get(gid),
    size: page.size[index] as number,
    stored_bytes: (mode & TYPE_MASK) === TYPE.file ? storedBytes(page, index) : 0,
    mtime_ns: page.mtime_ns[index] as bigint,
    content: page.contentOf(index),
    target: rare?.target,
    rdev: rare?.rdev,
    xattrs: rare?.xattrs,
    holes: rare?.holes,
    linkTo,
  }
}
