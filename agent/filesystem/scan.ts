// The sorted walk: every entry under some roots, in path order (component by component, bytewise, a directory before
// what is in it), one at a time and without promises: this is what a backup of unchanged files spends its time on.
// Memory is one list of names for each directory on the way down. Device boundaries, cache directories and excludes
// are decided here. What can't be read is told of and passed over.
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import type { Exclude } from './exclude.ts'
import { type FileStats, statsOfPath } from './file-stats.ts'
import { bytePath, systemPath } from './system-path.ts'

export type Scanned = {
  /** Byte string without a leading '/'. */
  readonly path: string
  readonly name: string
  /** Number of components. */
  readonly depth: number
  readonly stats: FileStats
  /** A directory on the way to a root: of what is in it, only what leads there is scanned. */
  readonly isAbove: boolean
}

export type ScanOptions = {
  /** Absolute paths as users type them; those inside one another count once. */
  readonly paths: readonly string[]
  readonly exclude: Exclude
  /** Stays on the file systems of the roots. */
  readonly oneFileSystem: boolean
  /** An errno name, SOCKET, or PATH_TOO_LONG. */
  readonly onUnreadable: (path: string, reason: string) => void
}

/** The kernel takes no longer path in one call. */
const SYSTEM_PATH_BYTES_MAX = 4095
const CACHE_TAG = 'CACHEDIR.TAG'
const CACHE_TAG_SIGNATURE = 'Signature: 8a477f597d28d172789f06886806bc55'

type Level = { readonly path: string; readonly names: readonly string[]; next: number; readonly dev: bigint; readonly root: string | undefined }

/** `next()` answers undefined at the end of the walk. */
export type Scan = { next(): Scanned | undefined }

/** A walk that has not begun. */
export function createScan(options: ScanOptions): Scan {
  const roots = [...new Set(options.paths.map(bytePath))]
  // The directories on the way to the roots hold only what leads there.
  const above = new Map<string, Set<string>>()
  const isRoot = new Set<string>()
  for (const root of roots) {
    if (roots.some(other => other !== root && (other === '' || root.startsWith(`${other}/`)))) continue
    isRoot.add(root)
    const parts = root === '' ? [] : root.split('/')
    for (let i = 0; i < parts.length; i++) {
      const directory = parts.slice(0, i).join('/')
      const children = above.get(directory) ?? new Set<string>()
      children.add(parts[i] ?? '')
      above.set(directory, children)
    }
  }
  const stack: Level[] = []
  if (isRoot.has('')) stack.push(openLevel('', statsOfPath('/').dev, ''))
  else if (above.size > 0) stack.push({ path: '', names: sorted([...(above.get('') ?? [])]), next: 0, dev: 0n, root: undefined })

  function openLevel(path: string, dev: bigint, root: string): Level {
    let names: string[] = []
    try {
      names = sorted(readdirSync(systemPath(path), 'latin1'))
      if (names.includes(CACHE_TAG) && hasCacheTag(path)) names = [CACHE_TAG]
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (typeof code !== 'string') throw error
      if (code !== 'ENOENT') options.onUnreadable(path, code)
    }
    return { path, names, next: 0, dev, root }
  }

  function next(): Scanned | undefined {
    for (let level = stack.at(-1); level; level = stack.at(-1)) {
      const name = level.names[level.next++]
      if (name === undefined) {
        stack.pop()
        continue
      }
      const path = level.path === '' ? name : `${level.path}/${name}`
      if (path.length >= SYSTEM_PATH_BYTES_MAX) {
        options.onUnreadable(path, 'PATH_TOO_LONG')
        continue
      }
      let stats: FileStats
      try {
        stats = statsOfPath(systemPath(path))
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code
        if (typeof code !== 'string') throw error
        if (code !== 'ENOENT' || isRoot.has(path)) options.onUnreadable(path, code)
        continue
      }
      const isDirectory = stats.isDirectory()
      if (level.root !== undefined && options.exclude(path, level.root, isDirectory)) continue
      if (stats.isSocket()) {
        options.onUnreadable(path, 'SOCKET')
        continue
      }
      let isAbove = false
      if (isDirectory) {
        const root = level.root ?? (isRoot.has(path) ? path : undefined)
        const children = above.get(path)
        isAbove = root === undefined
        if (isAbove && children) stack.push({ path, names: sorted([...children]), next: 0, dev: stats.dev, root: undefined })
        else if (root !== undefined && (!options.oneFileSystem || level.root === undefined || stats.dev === level.dev))
          stack.push(openLevel(path, stats.dev, root))
      }
      return { path, name, depth: stack.length - (isDirectory && stack.at(-1)?.path === path ? 1 : 0), stats, isAbove }
    }
    return undefined
  }
  return { next }
}

const sorted = (names: string[]): string[] => names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))

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
