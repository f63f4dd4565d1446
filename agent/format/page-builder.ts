// Collects the entries of one page and encodes them. What goes in was made by this program, so mistakes are assertions;
// the same rules are checked with suspicion when a page is read (page.ts): a page that was written can be read.
import assert from 'node:assert/strict'
import { BLOCK_BYTES_MAX, PAGE_BLOCKS_MAX, PAGE_ENTRIES_MAX, PATH_BYTES_MAX } from '#protocol/limits.ts'
import { ID_BYTES } from '#protocol/record.ts'
import { encodeCbor } from './cbor.ts'
import { CONTENT_HASH_BYTES } from './content-hash.ts'
import type { NewEntry, UnfinishedBlock } from './entry.ts'
import { fault } from './errors.ts'
import type { Page } from './page.ts'
import { bytesOf, type Columns, FLAG, NAME_BYTES_MAX, PAGE_VERSION, RARE_BYTES_MAX, TARGET_BYTES_MAX, TYPE, TYPE_MASK } from './page-columns.ts'
import { makeColumns, makeLists } from './page-memory.ts'
import { comparePaths } from './path-order.ts'

/** A page ends once its plaintext is about this long, in bytes, however few entries it has. */
export const PAGE_BYTES_AIM = 4 * 1024 * 1024
/** What an entry without its name, and an extent, take in the plaintext. */
const ENTRY_BYTES = 72
const EXTENT_BYTES = 12

export type PageBuilder = {
  readonly count: number
  /** Of the entry that was added last; '' before the first. */
  readonly lastPath: string
  /** At most PAGE_BLOCKS_MAX: a longer file goes on in the next page as a continuation. */
  readonly extentCount: number
  /** About how long the plaintext is so far, in bytes. */
  readonly bytes: number
  /**
   * Whether an entry can still go into this page: there is room for it and `extents` extents, the page is not long
   * enough already, and the directory that holds it is one of the page's (or one above its first entry).
   */
  fits(path: string, extents?: number): boolean
  /**
   * Adds an entry, in path order. A continuation may only be the first of a page.
   *
   * @throws ENTRY_TOO_LARGE  its xattrs, holes and target are over RARE_BYTES_MAX; nothing was added
   */
  add(entry: NewEntry): void
  /**
   * Adds an entry of another page as it is, without making an object of it: add() of entryAt(), at a fifth of the time.
   *
   * @returns  false if that can't be (for what few entries have): nothing was added
   */
  copy(page: Page, i: number): boolean
  /**
   * Encodes the page, whose blocks all have ids now; the builder is empty again afterwards.
   *
   * @param users   names by uid, as byte strings; those that no entry has are left out. Likewise `groups`
   * @returns       the plaintext, and the clear part: the ids of the blocks in the order of their first use
   */
  finish(users: ReadonlyMap<number, string>, groups: ReadonlyMap<number, string>): { plaintext: Buffer; clear: Buffer }
}

/** What is needed of a page to copy entries of it. */
type Copied = {
  readonly page: Page
  /** By index in that page: index here, -1 if the block was not met yet. */
  readonly blocks: Int32Array
  readonly times: readonly (readonly [from: Uint32Array, to: Uint32Array])[]
  /** The entry of the directory that the last copied one lies in. */
  parent: number
}

const inWords = ({ buffer, byteOffset, length }: BigInt64Array | BigUint64Array): Uint32Array => new Uint32Array(buffer, byteOffset, length * 2)

function must(isSo: boolean, otherwise: string): asserts isSo {
  if (!isSo) throw new assert.AssertionError({ message: otherwise })
}

/** An empty page. It may be filled and finished again and again. */
export function createPageBuilder(): PageBuilder {
  const columns = makeColumns()
  let lists = makeLists()
  let count = 0
  let extentCount = 0
  let content_bytes = 0
  // The directories that the next entry may lie in: the last entry, if it is one, and all above.
  let directories: string[] = []
  let last = ''
  /** Of the last entry, if it was copied: then `last` is not its path yet. */
  let lastCopied: { readonly page: Page; i: number } | undefined
  let copied: Copied | undefined
  let bytes = 0
  let isOpen = false
  let lastBlock: Buffer | UnfinishedBlock | undefined
  let lastBlockIndex = 0

  const blockIndex = (block: Buffer | UnfinishedBlock): number => {
    if (lastBlock === block) return lastBlockIndex
    const key = block instanceof Uint8Array ? nameOfBlock(block) : block
    lastBlockIndex = lists.blocks.get(key) ?? lists.blocks.size
    lists.blocks.set(key, lastBlockIndex)
    lastBlock = block
    return lastBlockIndex
  }

  const deviceIndex = (device: bigint): number => {
    const known = lists.devices.indexOf(device)
    return known < 0 ? lists.devices.push(device) - 1 : known
  }

  const xattrSet = (xattrs: readonly [string, Buffer][]): number => {
    const set = xattrs.flatMap(([name, value]) => [bytesOf(name), new Uint8Array(value)])
    const key = set.map(part => `${part.length}:${Buffer.from(part).toString('latin1')}`).join('')
    const known = lists.xattrIndexes.get(key)
    if (known !== undefined) return known
    lists.xattr_sets.push(set)
    lists.xattrIndexes.set(key, lists.xattr_sets.length)
    bytes += key.length
    return lists.xattr_sets.length
  }

  const lastPath = (): string => {
    if (lastCopied) last = lastCopied.page.path(lastCopied.i)
    lastCopied = undefined
    return last
  }

  const leaveDirectories = (path: string): void => {
    for (let top = directories.at(-1); top !== undefined && top !== ''; top = directories.at(-1)) {
      if (path.startsWith(top) && path.charCodeAt(top.length) === 0x2f) return
      directories.pop()
    }
  }

  const add = (entry: NewEntry): void => {
    const { path } = entry
    const nameAt = path.lastIndexOf('/') + 1
    const name = path.slice(nameAt)
    const type = entry.mode & TYPE_MASK
    const isFirst = count === 0
    must(
      path.length <= PATH_BYTES_MAX && name.length > 0 && name.length <= NAME_BYTES_MAX && name !== '.' && name !== '..' && !name.includes('\0'),
      'not a path',
    )
    must(isFirst || (!isOpen && comparePaths(lastPath(), path) < 0 && entry.continuation !== true), 'not in order, or the entry before has not all its content')
    const rare_bytes = rareBytes(entry)
    if (rare_bytes > RARE_BYTES_MAX) throw fault('ENTRY_TOO_LARGE', { expected: `at most ${RARE_BYTES_MAX} bytes`, found: `${rare_bytes}` })
    if (isFirst) {
      lists.parents = path.slice(0, Math.max(0, nameAt - 1))
      must(lists.parents === '' || lists.parents.split('/').every(part => part !== '' && part !== '.' && part !== '..'), 'not a path')
      directories = pathAndAbove(lists.parents)
    } else leaveDirectories(path)
    must(directories.at(-1)?.length === Math.max(0, nameAt - 1), 'the directory that holds the entry is not in the page')
    must(count < PAGE_ENTRIES_MAX && extentCount + entry.extents.length <= PAGE_BLOCKS_MAX, 'the page is full')
    const isFile = type === TYPE.file
    must(isFile || (entry.extents.length === 0 && !entry.holes && !entry.content && entry.continuation !== true), 'content of what is not a file')
    must(Number.isSafeInteger(entry.size) && entry.size >= 0, 'not a size')

    const covered = isFile ? addContent(entry) : 0
    isOpen = isFile && entry.continuation !== true && covered !== entry.size
    columns.depth[count] = directories.length
    columns.name_bytes[count] = name.length
    columns.mode[count] = entry.mode
    columns.uid[count] = entry.uid
    columns.gid[count] = entry.gid
    columns.size[count] = entry.size
    columns.mtime_ns[count] = entry.mtime_ns
    columns.ctime_ns[count] = entry.ctime_ns
    columns.ino[count] = entry.ino
    columns.dev[count] = deviceIndex(entry.dev)
    columns.nlink[count] = entry.nlink
    columns.extents[count] = entry.extents.length
    columns.flags[count] = (entry.content ? FLAG.content : 0) | (entry.continuation ? FLAG.continuation : 0)
    columns.xattr_set[count] = entry.xattrs?.length ? xattrSet(entry.xattrs) : 0
    lists.names.push(name)
    if (type === TYPE.symlink) {
      const target = entry.target ?? ''
      must(target.length > 0 && target.length <= TARGET_BYTES_MAX && !target.includes('\0'), 'a symlink without a target')
      lists.targets.push(target)
    } else if (type === TYPE.character || type === TYPE.block) {
      must(entry.rdev !== undefined, 'a device node without its number')
      lists.rdev.push(entry.rdev[0], entry.rdev[1])
    } else must(isFile || type === TYPE.directory || type === TYPE.fifo, 'a type that is not kept')
    if (entry.content) {
      must(entry.content.length === CONTENT_HASH_BYTES, 'not a content hash')
      columns.content.set(entry.content, content_bytes)
      content_bytes += CONTENT_HASH_BYTES
    }
    if (type === TYPE.directory) directories.push(path)
    last = path
    lastCopied = undefined
    bytes += ENTRY_BYTES + name.length + entry.extents.length * EXTENT_BYTES + rare_bytes
    count++
  }

  const beginCopying = (page: Page): Copied => ({
    page,
    blocks: new Int32Array(page.blocks.length / ID_BYTES).fill(-1),
    times: [
      [inWords(page.mtime_ns), inWords(columns.mtime_ns)],
      [inWords(page.ctime_ns), inWords(columns.ctime_ns)],
      [inWords(page.ino), inWords(columns.ino)],
    ],
    parent: -2,
  })

  const copy = (page: Page, i: number): boolean => {
    const type = (page.mode[i] as number) & TYPE_MASK
    const from = page.extentStart(i)
    const to = page.extentEnd(i)
    if (count === 0 || isOpen || count >= PAGE_ENTRIES_MAX || extentCount + to - from > PAGE_BLOCKS_MAX) return false
    if ((type !== TYPE.file && type !== TYPE.directory) || page.rare(i) !== undefined) return false
    if (copied?.page !== page) copied = beginCopying(page)
    const depth = page.depth[i] as number
    const name = page.name(i)
    const parent = page.parentOf[i] as number
    if (parent !== copied.parent) {
      const path = page.path(i)
      must(comparePaths(lastPath(), path) < 0, 'not in order')
      must(path.slice(0, Math.max(0, path.length - name.length - 1)) === directories[depth - 1], 'the directory that holds the entry is not in the page')
      copied.parent = parent
    }
    directories.length = depth
    let covered = 0
    for (let extent = from; extent < to; extent++) {
      const block = page.extentBlock[extent] as number
      if ((copied.blocks[block] as number) < 0) copied.blocks[block] = blockIndex(page.blocks.subarray(block * ID_BYTES, (block + 1) * ID_BYTES))
      columns.extent_block[extentCount] = copied.blocks[block] as number
      columns.extent_offset[extentCount] = page.extentOffset[extent] as number
      columns.extent_length[extentCount] = page.extentLength[extent] as number
      covered += page.extentLength[extent] as number
      extentCount++
    }
    isOpen = type === TYPE.file && covered !== page.size[i]
    columns.depth[count] = depth
    columns.name_bytes[count] = name.length
    columns.mode[count] = page.mode[i] as number
    columns.uid[count] = page.uid[i] as number
    columns.gid[count] = page.gid[i] as number
    columns.size[count] = page.size[i] as number
    for (const [before, now] of copied.times) {
      now[2 * count] = before[2 * i] as number
      now[2 * count + 1] = before[2 * i + 1] as number
    }
    columns.dev[count] = deviceIndex(page.devices[page.dev[i] as number] as bigint)
    columns.nlink[count] = page.nlink[i] as number
    columns.extents[count] = to - from
    const content = page.contentOf(i)
    columns.flags[count] = content ? FLAG.content : 0
    columns.xattr_set[count] = 0
    lists.names.push(name)
    if (content) {
      columns.content.set(content, content_bytes)
      content_bytes += CONTENT_HASH_BYTES
    }
    if (type === TYPE.directory) directories.push(page.path(i))
    if (lastCopied?.page === page) lastCopied.i = i
    else lastCopied = { page, i }
    bytes += ENTRY_BYTES + name.length + (to - from) * EXTENT_BYTES
    count++
    return true
  }

  // Adds extents and holes; returns how many bytes of the file they make up.
  const addContent = (entry: NewEntry): number => {
    let covered = 0
    for (const extent of entry.extents) {
      must(extent.length > 0 && extent.offset >= 0 && extent.offset + extent.length <= BLOCK_BYTES_MAX, 'an extent outside its block')
      columns.extent_block[extentCount] = blockIndex(extent.block)
      columns.extent_offset[extentCount] = extent.offset
      columns.extent_length[extentCount] = extent.length
      extentCount++
      covered += extent.length
    }
    let end = 0
    for (const [offset, length] of entry.holes ?? []) {
      must(offset >= end && length > 0 && offset + length <= entry.size, 'holes that overlap or leave the file')
      lists.hole_entry.push(count)
      lists.hole_offset.push(offset)
      lists.hole_length.push(length)
      end = offset + length
      covered += length
    }
    must(covered <= entry.size, 'more content than the size says')
    return covered
  }

  // Two blocks that had no ids may turn out to be one: each id is named once, in order of first use.
  const finishBlocks = (): Buffer => {
    const indexes = new Map<string, number>()
    const renumbered = Array.from(lists.blocks.keys(), block => {
      const name = typeof block === 'string' ? block : nameOfBlock(block.id)
      const index = indexes.get(name) ?? indexes.size
      indexes.set(name, index)
      return index
    })
    if (indexes.size < renumbered.length)
      for (let i = 0; i < extentCount; i++) columns.extent_block[i] = renumbered[columns.extent_block[i] as number] as number
    return Buffer.from([...indexes.keys()].join(''), 'latin1')
  }

  const finish = (users: ReadonlyMap<number, string>, groups: ReadonlyMap<number, string>): { plaintext: Buffer; clear: Buffer } => {
    must(count > 0, 'an empty page')
    const clear = finishBlocks()
    const encoded: Columns = {
      version: PAGE_VERSION,
      parents: bytesOf(lists.parents),
      depth: columns.depth.subarray(0, count),
      name_bytes: columns.name_bytes.subarray(0, count),
      names: bytesOf(lists.names.join('')),
      mode: columns.mode.subarray(0, count),
      uid: columns.uid.subarray(0, count),
      gid: columns.gid.subarray(0, count),
      size: columns.size.subarray(0, count),
      mtime_ns: columns.mtime_ns.subarray(0, count),
      ctime_ns: columns.ctime_ns.subarray(0, count),
      ino: columns.ino.subarray(0, count),
      dev: columns.dev.subarray(0, count),
      devices: BigUint64Array.from(lists.devices),
      nlink: columns.nlink.subarray(0, count),
      flags: columns.flags.subarray(0, count),
      content: columns.content.subarray(0, content_bytes),
      extents: columns.extents.subarray(0, count),
      extent_block: columns.extent_block.subarray(0, extentCount),
      extent_offset: columns.extent_offset.subarray(0, extentCount),
      extent_length: columns.extent_length.subarray(0, extentCount),
      target_bytes: Uint16Array.from(lists.targets, target => target.length),
      targets: bytesOf(lists.targets.join('')),
      rdev: Uint32Array.from(lists.rdev),
      xattr_set: columns.xattr_set.subarray(0, lists.xattr_sets.length === 0 ? 0 : count),
      xattr_sets: lists.xattr_sets,
      hole_entry: Uint32Array.from(lists.hole_entry),
      hole_offset: Float64Array.from(lists.hole_offset),
      hole_length: Float64Array.from(lists.hole_length),
      users: namesOf(columns.uid.subarray(0, count), users),
      groups: namesOf(columns.gid.subarray(0, count), groups),
    }
    const page = { plaintext: encodeCbor(encoded), clear }
    lists = makeLists()
    count = extentCount = content_bytes = bytes = 0
    isOpen = false
    lastBlock = undefined
    copied = undefined
    lastCopied = undefined
    return page
  }

  return {
    get count() {
      return count
    },
    get lastPath() {
      return count === 0 ? '' : lastPath()
    },
    get extentCount() {
      return extentCount
    },
    get bytes() {
      return bytes
    },
    fits: (path, extents = 0) => {
      if (count === 0) return extents <= PAGE_BLOCKS_MAX
      if (isOpen || count >= PAGE_ENTRIES_MAX || bytes >= PAGE_BYTES_AIM || extentCount + extents > PAGE_BLOCKS_MAX) return false
      leaveDirectories(path)
      return directories.at(-1)?.length === Math.max(0, path.lastIndexOf('/'))
    },
    add,
    copy,
    finish,
  }
}

function nameOfBlock(id: Buffer | undefined): string {
  assert(id?.length === ID_BYTES, 'a block was not finished before its page')
  return id.toString('latin1')
}

// '', 'a', 'a/b' for 'a/b'.
function pathAndAbove(path: string): string[] {
  const all = ['']
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) all.push(path.slice(0, at))
  return path === '' ? all : [...all, path]
}

function rareBytes(entry: NewEntry): number {
  const xattrs = entry.xattrs?.reduce((sum, [name, value]) => sum + name.length + value.length, 0) ?? 0
  return xattrs + (entry.holes?.length ?? 0) * 20 + (entry.target?.length ?? 0)
}

function namesOf(ids: Uint32Array, names: ReadonlyMap<number, string>): (number | Uint8Array)[] {
  const used = [...new Set(ids)].sort((a, b) => a - b)
  return used.flatMap(id => {
    const name = names.get(id)
    return name ? [id, bytesOf(name)] : []
  })
}
