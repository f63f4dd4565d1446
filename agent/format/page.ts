// A page is a run of file entries in path order, kept as columns: the last snapshot is the agent's file cache, and a
// million entries must be compared with the disk in about a second. Invariants, all checked when a page is read:
//   entries are strictly in path order, each in a directory that is an entry before it, or above the first entry;
//   names are single components (never '.', '..', with '/' or NUL), paths at most PATH_BYTES_MAX long: joining them to a
//   target directory cannot leave it;
//   extents point into the blocks of the clear part, which are all used, in the order of their first use;
//   extents and holes of a file add up to its size; a file too long for its page ends it, and goes on as the first
//   entry of the next page, marked as a continuation with the same attributes, holes and content hash (the reader of
//   both adds up how much is there).
// Paths and names are byte strings: one character is one byte. Layout: FORMAT.md, "Page".
import { BLOCK_BYTES_MAX, PAGE_BLOCKS_MAX, PATH_BYTES_MAX } from '#protocol/limits.ts'
import { ID_BYTES } from '#protocol/record.ts'
import { type Arena, takeFrom } from './cbor.ts'
import { CONTENT_HASH_BYTES } from './content-hash.ts'
import type { Entry, Rare } from './entry.ts'
import { type Columns, FLAG, invalidPage, latin1, NAME_BYTES_MAX, readColumns, readNames, TARGET_BYTES_MAX, TYPE, TYPE_MASK } from './page-columns.ts'

export type { Entry, NewEntry, NewExtent, Rare, UnfinishedBlock } from './entry.ts'
export { createPageBuilder, PAGE_BYTES_AIM, type PageBuilder } from './page-builder.ts'
export { RARE_BYTES_MAX, TYPE, TYPE_MASK } from './page-columns.ts'

export type Page = {
  readonly count: number
  /** The directory of the first entry, '' for the root. */
  readonly parents: string
  /** How many components each path has. */
  readonly depth: Uint16Array
  /** The last component. */
  name(i: number): string
  /** Whether that is what these bytes say. */
  isNamed(i: number, bytes: Uint8Array, from: number, to: number): boolean
  /** The whole path; quick for entries in order. */
  path(i: number): string
  /** The entry of the directory that holds entry i; -1 if that is `parents` or above it. */
  readonly parentOf: Int32Array
  readonly mode: Uint32Array
  readonly uid: Uint32Array
  readonly gid: Uint32Array
  readonly size: Float64Array
  readonly mtime_ns: BigInt64Array
  readonly ctime_ns: BigInt64Array
  readonly ino: BigUint64Array
  /** Index into `devices`. */
  readonly dev: Uint16Array
  readonly devices: readonly bigint[]
  readonly nlink: Uint32Array
  /** A view of 32 bytes. */
  contentOf(i: number): Buffer | undefined
  extentStart(i: number): number
  extentEnd(i: number): number
  /** Index into the ids of the clear part. */
  readonly extentBlock: Uint32Array
  readonly extentOffset: Uint32Array
  readonly extentLength: Uint32Array
  /** The clear part. */
  readonly blocks: Buffer
  rare(i: number): Rare | undefined
  readonly users: ReadonlyMap<number, string>
  readonly groups: ReadonlyMap<number, string>
  /** Gives the memory of the columns back now: the collector would let many pages of it wait. The page may not be used any more. */
  release(): void
}

/**
 * Reads a page, believing nothing. Columns are copies; names, content hashes and `blocks` are views into the arguments.
 *
 * @param plaintext  of the page record, opened
 * @param clear      its clear part
 * @throws PAGE_INVALID
 */
export function decodePage(plaintext: Buffer, clear: Buffer): Page {
  const { columns, arena } = readColumns(plaintext)
  const count = columns.depth.length
  const names = latin1(columns.names)
  const nameStart = sumsOf(columns.name_bytes, columns.names.length, 'names', arena)
  const extentStart = sumsOf(columns.extents, columns.extent_block.length, 'extents', arena)
  const parents = latin1(columns.parents)
  const parentOf = checkTree(columns, names, nameStart, parents, arena)
  checkExtents(columns, clear)
  const holes = holesOf(columns)
  checkSizes(columns, extentStart, holes)
  const targets = targetsOf(columns, arena)
  const devices = deviceNodesOf(columns)
  const contentAt = contentsOf(columns, arena)
  const xattrSets = columns.xattr_sets.map(xattrsOf)
  for (const set of columns.xattr_set) if (set > xattrSets.length) throw invalidPage('xattrs of the page', `set ${set}`)
  for (const device of columns.dev) if (device >= columns.devices.length) throw invalidPage('a device of the page', `device ${device}`)

  const content = Buffer.from(columns.content.buffer, columns.content.byteOffset, columns.content.byteLength)
  const name = (i: number): string => names.slice(nameStart[i], nameStart[i + 1])
  const isNamed = (i: number, bytes: Uint8Array, from: number, to: number): boolean => {
    const start = nameStart[i] as number
    if ((nameStart[i + 1] as number) - start !== to - from) return false
    for (let at = from; at < to; at++) if (names.charCodeAt(start + at - from) !== bytes[at]) return false
    return true
  }
  // The path of the directory asked for last: entries in order mostly share it.
  let directory = -1
  let directoryPath = ''
  const path = (i: number): string => {
    const parent = parentOf[i] as number
    if (parent < 0) {
      const above = aboveAt(parents, columns.depth[i] as number)
      return above === '' ? name(i) : `${above}/${name(i)}`
    }
    if (directory !== parent) {
      directoryPath = path(parent)
      directory = parent
    }
    return `${directoryPath}/${name(i)}`
  }
  const rare = (i: number): Rare | undefined => {
    const target = targets.get(i)
    const rdev = devices.get(i)
    const itsHoles = holes.get(i)
    const set = columns.xattr_set[i] ?? 0
    const isContinuation = ((columns.flags[i] ?? 0) & FLAG.continuation) !== 0
    if (target === undefined && !rdev && !itsHoles && set === 0 && !isContinuation) return undefined
    return {
      ...(target === undefined ? {} : { target }),
      ...(rdev ? { rdev } : {}),
      ...(set === 0 ? {} : { xattrs: xattrSets[set - 1] as [string, Buffer][] }),
      ...(itsHoles ? { holes: itsHoles } : {}),
      ...(isContinuation ? { continuation: true as const } : {}),
    }
  }
  return {
    count,
    parents,
    depth: columns.depth,
    name,
    isNamed,
    path,
    parentOf,
    mode: columns.mode,
    uid: columns.uid,
    gid: columns.gid,
    size: columns.size,
    mtime_ns: columns.mtime_ns,
    ctime_ns: columns.ctime_ns,
    ino: columns.ino,
    dev: columns.dev,
    devices: [...columns.devices],
    nlink: columns.nlink,
    contentOf: i => {
      const at = contentAt[i] as number
      return at < 0 ? undefined : content.subarray(at, at + CONTENT_HASH_BYTES)
    },
    extentStart: i => extentStart[i] as number,
    extentEnd: i => extentStart[i + 1] as number,
    extentBlock: columns.extent_block,
    extentOffset: columns.extent_offset,
    extentLength: columns.extent_length,
    blocks: clear,
    rare,
    users: readNames(columns.users, 'users'),
    groups: readNames(columns.groups, 'groups'),
    release: () => void arena.memory.transfer(0),
  }
}

/** One entry as an object; its buffers are views. */
export function entryAt(page: Page, i: number): Entry {
  const extents: Entry['extents'] = []
  for (let at = page.extentStart(i); at < page.extentEnd(i); at++) {
    const block = (page.extentBlock[at] as number) * ID_BYTES
    extents.push({ block: page.blocks.subarray(block, block + ID_BYTES), offset: page.extentOffset[at] as number, length: page.extentLength[at] as number })
  }
  const content = page.contentOf(i)
  return {
    path: page.path(i),
    mode: page.mode[i] as number,
    uid: page.uid[i] as number,
    gid: page.gid[i] as number,
    size: page.size[i] as number,
    mtime_ns: page.mtime_ns[i] as bigint,
    ctime_ns: page.ctime_ns[i] as bigint,
    ino: page.ino[i] as bigint,
    dev: page.devices[page.dev[i] as number] as bigint,
    nlink: page.nlink[i] as number,
    ...(content ? { content } : {}),
    extents,
    ...page.rare(i),
  }
}

/** All entries, in order. */
export function* entriesOf(page: Page): Generator<Entry> {
  for (let i = 0; i < page.count; i++) yield entryAt(page, i)
}

// Running sums, from 0: where each entry's part of a list begins; they must end where the list does.
function sumsOf(lengths: Uint16Array | Uint32Array, total: number, what: string, arena: Arena): Uint32Array {
  const sums = takeFrom(arena, Uint32Array, lengths.length + 1)
  let sum = 0
  for (let i = 0; i < lengths.length; i++) {
    sum += lengths[i] as number
    sums[i + 1] = sum
  }
  if (sum !== total) throw invalidPage(`${total} bytes or items of ${what}`, `${sum}`)
  return sums
}

// Depths, names and order. Returns the entry of each entry's directory.
function checkTree(columns: Columns, names: string, nameStart: Uint32Array, parents: string, arena: Arena): Int32Array {
  const { depth, mode } = columns
  if (names.includes('/') || names.includes('\0')) throw invalidPage('names without / and NUL', 'others')
  const above = parents === '' ? [] : parents.split('/')
  for (const part of above) if (!isName(part)) throw invalidPage('a path as parents', 'something else')
  if (depth[0] !== above.length + 1) throw invalidPage(`depth ${above.length + 1} first`, `${depth[0]}`)
  const parentOf = takeFrom(arena, Int32Array, depth.length)
  // By depth: the last entry there (-1: a component of parents), and how many bytes its path has.
  const lastAt: number[] = [-1, ...above.map(() => -1)]
  const pathBytes: number[] = [0]
  for (const part of above) pathBytes.push((pathBytes.at(-1) as number) + part.length + 1)
  let before = above.length
  for (let i = 0; i < depth.length; i++) {
    const level = depth[i] as number
    const start = nameStart[i] as number
    const end = nameStart[i + 1] as number
    if (level < 1 || level > before + 1) throw invalidPage(`a depth of 1 to ${before + 1} for entry ${i}`, `${level}`)
    if (end === start || end - start > NAME_BYTES_MAX || (end - start <= 2 && !isName(names.slice(start, end))))
      throw invalidPage(`a name for entry ${i}`, 'another')
    const bytes = (pathBytes[level - 1] as number) + end - start
    if (bytes > PATH_BYTES_MAX) throw invalidPage(`a path of at most ${PATH_BYTES_MAX} bytes`, `${bytes}`)
    const parent = lastAt[level - 1] as number
    if (parent >= 0 && ((mode[parent] as number) & TYPE_MASK) !== TYPE.directory) throw invalidPage(`a directory above entry ${i}`, 'another type')
    if (level <= before) {
      const sibling = lastAt[level] as number
      const isRising =
        sibling >= 0
          ? isBefore(names, nameStart[sibling] as number, nameStart[sibling + 1] as number, start, end)
          : (above[level - 1] as string) < names.slice(start, end)
      if (!isRising) throw invalidPage('entries in path order', `entry ${i} that is not`)
    }
    parentOf[i] = parent
    lastAt[level] = i
    pathBytes[level] = bytes + 1
    before = level
  }
  return parentOf
}

const isName = (name: string): boolean => name !== '' && name !== '.' && name !== '..' && !name.includes('\0')

// Whether the first name comes strictly before the second, both given by their place in `names`.
function isBefore(names: string, from: number, to: number, start: number, end: number): boolean {
  for (let a = from, b = start; a < to && b < end; a++, b++) {
    const difference = names.charCodeAt(a) - names.charCodeAt(b)
    if (difference !== 0) return difference < 0
  }
  return to - from < end - start
}

function checkExtents(columns: Columns, clear: Buffer): void {
  const { extent_block, extent_offset, extent_length } = columns
  if (clear.length % ID_BYTES !== 0 || extent_block.length > PAGE_BLOCKS_MAX)
    throw invalidPage(`ids of blocks, at most ${PAGE_BLOCKS_MAX} extents`, `${extent_block.length}`)
  let used = 0
  for (let at = 0; at < extent_block.length; at++) {
    const block = extent_block[at] as number
    if (block > used) throw invalidPage(`a block up to ${used}`, `${block}`)
    if (block === used) used++
    const length = extent_length[at] as number
    if (length < 1 || (extent_offset[at] as number) + length > BLOCK_BYTES_MAX) throw invalidPage('extents within a block', `${extent_offset[at]} + ${length}`)
  }
  if (used * ID_BYTES !== clear.length) throw invalidPage(`${used} blocks in the clear part`, `${clear.length} bytes`)
}

function holesOf(columns: Columns): Map<number, [number, number][]> {
  const holes = new Map<number, [number, number][]>()
  let last = 0
  let end = 0
  for (let at = 0; at < columns.hole_entry.length; at++) {
    const entry = columns.hole_entry[at] as number
    const offset = columns.hole_offset[at] as number
    const length = columns.hole_length[at] as number
    if (entry < last || entry >= columns.depth.length) throw invalidPage('holes in order of their entries', `${entry} after ${last}`)
    if (entry !== last) end = 0
    const isWithinFile =
      Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= end && length > 0 && offset + length <= (columns.size[entry] as number)
    if (!isWithinFile) throw invalidPage('holes in order, within the file', `${offset} + ${length}`)
    const list = holes.get(entry)
    if (list) list.push([offset, length])
    else holes.set(entry, [[offset, length]])
    last = entry
    end = offset + length
  }
  return holes
}

function checkSizes(columns: Columns, extentStart: Uint32Array, holes: Map<number, [number, number][]>): void {
  const { size, mode, flags } = columns
  for (let i = 0; i < size.length; i++) {
    const bytes = size[i] as number
    const flag = flags[i] as number
    if (!Number.isSafeInteger(bytes) || bytes < 0 || Object.is(bytes, -0) || flag > 3) throw invalidPage(`a size and flags for entry ${i}`, `${bytes}, ${flag}`)
    const isFile = ((mode[i] as number) & TYPE_MASK) === TYPE.file
    const isContinuation = (flag & FLAG.continuation) !== 0
    if (isContinuation && i > 0) throw invalidPage('a continuation as first entry only', `entry ${i}`)
    let covered = 0
    for (let at = extentStart[i] as number; at < (extentStart[i + 1] as number); at++) covered += columns.extent_length[at] as number
    if (holes.size > 0) for (const [, length] of holes.get(i) ?? []) covered += length
    if (!isFile && (covered > 0 || flag !== 0)) throw invalidPage('content of files only', `content of entry ${i}`)
    const mayBeParted = isContinuation || i === size.length - 1
    if (isFile && (covered > bytes || (covered < bytes && !mayBeParted))) throw invalidPage(`${bytes} bytes for entry ${i}`, `${covered}`)
  }
}

function targetsOf(columns: Columns, arena: Arena): Map<number, string> {
  const targets = new Map<number, string>()
  const starts = sumsOf(columns.target_bytes, columns.targets.length, 'targets', arena)
  const text = latin1(columns.targets)
  let next = 0
  columns.mode.forEach((mode, i) => {
    if ((mode & TYPE_MASK) !== TYPE.symlink) return
    const target = text.slice(starts[next] ?? 0, starts[next + 1] ?? 0)
    if (target === '' || target.length > TARGET_BYTES_MAX || target.includes('\0')) throw invalidPage(`a target for symlink ${i}`, 'none')
    targets.set(i, target)
    next++
  })
  if (next !== columns.target_bytes.length) throw invalidPage(`${next} targets`, `${columns.target_bytes.length}`)
  return targets
}

// Also checks that every type is one that is kept.
function deviceNodesOf(columns: Columns): Map<number, [number, number]> {
  const devices = new Map<number, [number, number]>()
  for (let i = 0; i < columns.mode.length; i++) {
    const mode = columns.mode[i] as number
    const type = mode & TYPE_MASK
    if (type === TYPE.file || type === TYPE.directory || type === TYPE.symlink) continue
    if (type === TYPE.character || type === TYPE.block) devices.set(i, [columns.rdev[devices.size * 2] ?? 0, columns.rdev[devices.size * 2 + 1] ?? 0])
    else if (type !== TYPE.fifo) throw invalidPage('a type that is kept', `mode ${mode.toString(8)}`)
  }
  if (columns.rdev.length !== devices.size * 2) throw invalidPage(`${devices.size} device numbers`, `${columns.rdev.length / 2}`)
  return devices
}

// Where each entry's content hash begins, in bytes; -1 if it has none.
function contentsOf(columns: Columns, arena: Arena): Int32Array {
  const at = takeFrom(arena, Int32Array, columns.flags.length)
  let next = 0
  for (let i = 0; i < at.length; i++) {
    const has = ((columns.flags[i] as number) & FLAG.content) !== 0
    at[i] = has ? next : -1
    if (has) next += CONTENT_HASH_BYTES
  }
  if (next !== columns.content.length) throw invalidPage(`${next} bytes of content hashes`, `${columns.content.length}`)
  return at
}

function xattrsOf(set: readonly Uint8Array[]): [string, Buffer][] {
  const xattrs: [string, Buffer][] = []
  for (let at = 0; at < set.length; at += 2) {
    const name = latin1(set[at] as Uint8Array)
    const value = set[at + 1] as Uint8Array
    if (name === '' || name.includes('\0')) throw invalidPage('a name for each xattr', 'none')
    xattrs.push([name, Buffer.from(value.buffer, value.byteOffset, value.byteLength)])
  }
  return xattrs
}

// The first `depth - 1` components of `parents`.
function aboveAt(parents: string, depth: number): string {
  let end = -1
  for (let level = 1; level < depth; level++) end = parents.indexOf('/', end + 1) < 0 ? parents.length : parents.indexOf('/', end + 1)
  return parents.slice(0, Math.max(0, end))
}
