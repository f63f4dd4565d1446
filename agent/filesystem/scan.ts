// The sorted walk: every entry under some roots, in path order (component by component, bytewise, a directory before
// what is in it), a group at a time and without promises: this is what a backup of unchanged files spends its time on.
// Small files are read on the way, if that is wanted. Memory is one list of names for each directory on the way down.
// Device boundaries, cache directories and excludes are decided here. What can't be read is told of and passed over.
import { closeSync, constants, openSync, readdirSync, readSync } from 'node:fs'
import type { Exclude } from './exclude.ts'
import { FACT, FACT_WORDS, wordsOf } from './file-stats.ts'
import { hasXattrs, readWhole, statFile, statPath } from './libc.ts'
import { createGroupWriter, entryWord, FLAG, type ScanGroup, SMALL_CONTENT_BYTES_MAX } from './scan-group.ts'
import { bytePath, systemPath } from './system-path.ts'

export type ScanOptions = {
  /** Absolute paths as users type them; those inside one another count once. */
  readonly paths: readonly string[]
  /** Undefined: nothing is left out. */
  readonly exclude: Exclude | undefined
  /** Stays on the file systems of the roots. */
  readonly oneFileSystem: boolean
  /** An errno name, SOCKET, or PATH_TOO_LONG. */
  readonly onUnreadable: (path: string, reason: string) => void
}

export type Scan = {
  /**
   * Fills a group with the next entries.
   *
   * @param isContentWanted  small files are read, too
   * @returns                how many entries; 0 at the end of the walk
   */
  fill(group: ScanGroup, isContentWanted: boolean): number
}

/** The kernel takes no longer path in one call. */
const SYSTEM_PATH_BYTES_MAX = 4095
const CACHE_TAG = 'CACHEDIR.TAG'
const CACHE_TAG_SIGNATURE = 'Signature: 8a477f597d28d172789f06886806bc55'
/** Words that tell whether a file is what it was. */
const SAME = [FACT.size, FACT.size + 1, FACT.mtime_ns, FACT.mtime_ns + 1, FACT.ctime_ns, FACT.ctime_ns + 1, FACT.ino, FACT.ino + 1]
const NOT_READ = { kept_bytes: 0, flags: 0 }

/** A device number in two words. */
type Device = readonly [number, number]
const NO_DEVICE: Device = [0, 0]

type Level = {
  readonly path: string
  /** Bytes that '/', `path` and a slash take in the path buffer. */
  readonly prefix_bytes: number
  readonly names: readonly string[]
  next: number
  readonly dev: Device
  readonly root: string | undefined
}

/** A walk that has not begun. */
export function createScan(options: ScanOptions): Scan {
  const { isRoot, above } = waysTo([...new Set(options.paths.map(bytePath))])
  // The path of the entry under way as the system takes it. What leads to its directory is not written again for each.
  const pathBuffer = Buffer.alloc(SYSTEM_PATH_BYTES_MAX + 1, '/')
  const afterwards = wordsOf(new ArrayBuffer(FACT_WORDS * 4))
  const stack: Level[] = []
  if (isRoot.has('')) {
    pathBuffer[1] = 0
    if (statPath(pathBuffer, afterwards, 0) === undefined) enter('', 1, deviceOf(afterwards.u32, 0), '')
  } else if (above.size > 0) enter('', 1, NO_DEVICE, undefined)

  /** Goes down into a directory, whose path stands in the buffer. */
  function enter(path: string, prefix_bytes: number, dev: Device, root: string | undefined): void {
    pathBuffer[prefix_bytes - 1] = 0x2f
    stack.push({ path, prefix_bytes, names: root === undefined ? sorted([...(above.get(path) ?? [])]) : namesIn(path), next: 0, dev, root })
  }
  function namesIn(path: string): string[] {
    try {
      const names = sorted(readdirSync(systemPath(path), 'latin1'))
      return names.includes(CACHE_TAG) && hasCacheTag(path) ? [CACHE_TAG] : names
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (typeof code !== 'string') throw error
      if (code !== 'ENOENT') options.onUnreadable(path, code)
      return []
    }
  }

  /** Reads the file under way into the content room; how many bytes of it are kept, and the entry's flags. */
  const readSmall = (group: ScanGroup, at: number, room: Buffer): { kept_bytes: number; flags: number } => {
    const { u32, f64 } = group.words
    let flags: number = FLAG.hasContent
    const read_bytes = readWhole(pathBuffer, room, fd => {
      if (hasXattrs(fd)) flags |= FLAG.hasXattrs
      const isSame = statFile(fd, afterwards, 0) === undefined && SAME.every(word => afterwards.u32[word] === u32[at + word])
      if (!isSame) flags = 0
    })
    // Else its reader finds out what it is now, or why it can't be read.
    return flags !== 0 && read_bytes === f64[(at + FACT.size) >> 1] ? { kept_bytes: room.length, flags } : NOT_READ
  }

  function fill(group: ScanGroup, isContentWanted: boolean): number {
    const writer = createGroupWriter(group)
    const { u32, f64 } = group.words
    for (let level = stack.at(-1); level; level = stack.at(-1)) {
      const { path: directory, prefix_bytes, root } = level
      const name = level.names[level.next]
      if (name === undefined) {
        stack.pop()
        continue
      }
      if (!writer.hasRoom(name.length)) return writer.count
      const pathOf = (): string => (directory === '' ? name : `${directory}/${name}`)
      const end = prefix_bytes + name.length
      if (end > SYSTEM_PATH_BYTES_MAX) {
        level.next++
        options.onUnreadable(pathOf(), 'PATH_TOO_LONG')
        continue
      }
      pathBuffer.write(name, prefix_bytes, 'latin1')
      pathBuffer[end] = 0
      const at = entryWord(writer.count)
      const failure = statPath(pathBuffer, group.words, at)
      if (failure !== undefined) {
        level.next++
        if (failure !== 'ENOENT' || isRoot.has(pathOf())) options.onUnreadable(pathOf(), failure)
        continue
      }
      const type = (u32[at + FACT.mode] as number) & constants.S_IFMT
      const size = f64[(at + FACT.size) >> 1] as number
      const hasNoHoles = (f64[(at + FACT.blocks) >> 1] as number) * 512 >= size
      const isRead = isContentWanted && type === constants.S_IFREG && size > 0 && size <= SMALL_CONTENT_BYTES_MAX && hasNoHoles
      const room = isRead ? writer.contentRoom(size + 1) : undefined
      if (isRead && !room) return writer.count
      level.next++
      const isDirectory = type === constants.S_IFDIR
      if (root !== undefined && options.exclude?.(pathOf(), root, isDirectory)) continue
      if (type === constants.S_IFSOCK) {
        options.onUnreadable(pathOf(), 'SOCKET')
        continue
      }
      const depth = stack.length
      if (!isDirectory) {
        const { kept_bytes, flags } = room ? readSmall(group, at, room) : NOT_READ
        writer.add(name, depth, flags, kept_bytes)
        continue
      }
      const path = pathOf()
      const itsRoot = root ?? (isRoot.has(path) ? path : undefined)
      writer.add(name, depth, itsRoot === undefined ? FLAG.isAbove : 0, 0)
      const dev = deviceOf(u32, at)
      const isOtherDevice = root !== undefined && (dev[0] !== level.dev[0] || dev[1] !== level.dev[1])
      if (!options.oneFileSystem || !isOtherDevice) enter(path, end + 1, dev, itsRoot)
    }
    return writer.count
  }
  return { fill }
}

const deviceOf = (u32: Uint32Array, at: number): Device => [u32[at + FACT.dev] as number, u32[at + FACT.dev + 1] as number]

/** The roots, none inside another, and for each directory on the way to them what in it leads there. */
function waysTo(paths: readonly string[]): { isRoot: Set<string>; above: Map<string, Set<string>> } {
  const above = new Map<string, Set<string>>()
  const isRoot = new Set<string>()
  for (const root of paths) {
    if (paths.some(other => other !== root && (other === '' || root.startsWith(`${other}/`)))) continue
    isRoot.add(root)
    const parts = root === '' ? [] : root.split('/')
    for (let i = 0; i < parts.length; i++) {
      const directory = parts.slice(0, i).join('/')
      const children = above.get(directory) ?? new Set<string>()
      children.add(parts[i] ?? '')
      above.set(directory, children)
    }
  }
  return { isRoot, above }
}

/** By bytes: one character is one byte. */
const sorted = (names: string[]): string[] => names.sort()

/** Whether a directory says of itself that it holds what can be made again (Cache Directory Tagging Specification). */
function hasCacheTag(directory: string): boolean {
  const head = Buffer.alloc(CACHE_TAG_SIGNATURE.length)
  try {
    const fd = openSync(systemPath(directory === '' ? CACHE_TAG : `${directory}/${CACHE_TAG}`), 'r')
    try {
      return readSync(fd, head, 0, head.length, 0) === head.length && head.toString('latin1') === CACHE_TAG_SIGNATURE
    } finally {
      closeSync(fd)
    }
  } catch {
    return false
  }
}
