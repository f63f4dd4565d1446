// A disk in memory that forgets: after a power cut, what was not synced is there or not, page by page, in part or whole;
// directory entries likewise. It can be stopped in the middle of any operation, run full, and fail to flush.
import { dirname } from 'node:path'
import type { Disk, DiskFile } from '../../../appliance/archive/disk.ts'

const PAGE_BYTES = 256

type Inode = { cached: Buffer; durable: Buffer; readonly dirty: Set<number> }
type Directory = { readonly cached: Map<string, Node>; durable: Map<string, Node> }
type Node = { readonly file: Inode } | { readonly directory: Directory }

export type SimulatedDisk = Disk & {
  /** After so many more operations everything fails, the last one half-done. */
  stopAfter(operations: number): void
  /** How many operations were done since the last start. */
  operations(): number
  /** What a killed process leaves: nothing is lost, but no more synced than it was. */
  restart(): void
  /** What a power cut leaves; then it works again. */
  powerCut(random: () => number): void
  /** Bytes that still fit; undefined: no limit. */
  setFree(bytes: number | undefined): void
  /** The next flush fails, and what was not flushed by then never will be. */
  failFlush(fails: boolean): void
  /** The content of a file, to look at or to damage; undefined if there is none. */
  content(path: string): Buffer | undefined
  setContent(path: string, content: Buffer | undefined): void
}

class Stopped extends Error {
  readonly code = 'EIO'
}

const systemError = (code: string, path = ''): Error => Object.assign(new Error(`${code} ${path}`), { code })

export function createSimulatedDisk(): SimulatedDisk {
  const root: Directory = { cached: new Map(), durable: new Map() }
  let left = Infinity
  let done = 0
  let generation = 0
  let free_bytes: number | undefined
  let flushFails = false

  function step(): boolean {
    if (left <= 0) throw new Stopped('the machine is off')
    left--
    done++
    return left <= 0
  }
  function directoryAt(path: string): Directory {
    let at = root
    for (const name of path.split('/').filter(part => part !== '')) {
      const node = at.cached.get(name)
      if (!node || !('directory' in node)) throw systemError('ENOENT', path)
      at = node.directory
    }
    return at
  }
  const parentOf = (path: string): Directory => directoryAt(dirname(path))
  const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
  function fileAt(path: string): Inode {
    const node = parentOf(path).cached.get(nameOf(path))
    if (!node || !('file' in node)) throw systemError('ENOENT', path)
    return node.file
  }
  function resize(inode: Inode, length: number): void {
    const before = inode.cached.length
    const next = Buffer.alloc(length)
    inode.cached.copy(next, 0, 0, Math.min(before, length))
    inode.cached = next
    for (let at = Math.floor(Math.min(before, length) / PAGE_BYTES); at * PAGE_BYTES < Math.max(before, length); at++) inode.dirty.add(at)
  }
  function put(inode: Inode, bytes: Buffer, position: number): void {
    if (inode.cached.length < position + bytes.length) resize(inode, position + bytes.length)
    bytes.copy(inode.cached, position)
    for (let at = Math.floor(position / PAGE_BYTES); at * PAGE_BYTES < position + bytes.length; at++) inode.dirty.add(at)
  }
  function flush(inode: Inode): void {
    const next = Buffer.alloc(inode.cached.length)
    inode.durable.copy(next)
    for (const at of inode.dirty) if (at * PAGE_BYTES < next.length) inode.cached.copy(next, at * PAGE_BYTES, at * PAGE_BYTES, (at + 1) * PAGE_BYTES)
    inode.durable = next
    inode.dirty.clear()
  }

  function fileOf(inode: Inode, path: string): DiskFile {
    const born = generation
    const check = (): boolean => {
      if (born !== generation) throw new Stopped('opened before the machine was off')
      return step()
    }
    return {
      write: async (pieces, position) => {
        const isLast = check()
        await Promise.resolve()
        const bytes = Buffer.concat(pieces)
        const room = free_bytes === undefined ? bytes.length : Math.max(0, Math.min(bytes.length, free_bytes - Math.max(0, position - inode.cached.length)))
        const written = isLast ? bytes.subarray(0, Math.floor(bytes.length / 2)) : bytes.subarray(0, room)
        if (free_bytes !== undefined) free_bytes -= written.length
        put(inode, written, position)
        if (isLast) throw new Stopped('the machine went off')
        if (room < bytes.length) throw systemError('ENOSPC', path)
      },
      read: async (target, position) => {
        if (born !== generation || left <= 0) throw new Stopped('the machine is off')
        await Promise.resolve()
        return inode.cached.copy(target, 0, position, position + target.length)
      },
      datasync: async () => {
        const isLast = check()
        await Promise.resolve()
        if (isLast) throw new Stopped('the machine went off')
        if (flushFails) {
          // As systems do: the pages count as clean from now on, but never reached the disk.
          flushFails = false
          inode.dirty.clear()
          throw systemError('EIO', path)
        }
        flush(inode)
      },
      truncate: async length => {
        const isLast = check()
        await Promise.resolve()
        if (free_bytes !== undefined) free_bytes += Math.max(0, inode.cached.length - length)
        resize(inode, length)
        if (isLast) throw new Stopped('the machine went off')
      },
      size: async () => inode.cached.length,
      close: async () => {},
    }
  }

  function cutFile(inode: Inode, random: () => number): void {
    const { cached, durable, dirty } = inode
    const larger = Math.max(cached.length, durable.length)
    const smaller = Math.min(cached.length, durable.length)
    const choice = random()
    const length = choice < 0.3 ? durable.length : choice < 0.6 ? cached.length : smaller + Math.floor(random() * (larger - smaller + 1))
    const after = Buffer.alloc(length)
    durable.copy(after, 0, 0, Math.min(durable.length, length))
    const share = random()
    for (const at of dirty) {
      const start = at * PAGE_BYTES
      if (random() > share || start >= Math.min(length, cached.length)) continue
      // Mostly whole pages; now and then a part of one.
      const bytes = random() < 0.8 ? PAGE_BYTES : Math.floor(random() * PAGE_BYTES)
      cached.copy(after, start, start, Math.min(start + bytes, cached.length, length))
    }
    inode.cached = after
    inode.durable = Buffer.from(after)
    dirty.clear()
  }
  function cutDirectory(directory: Directory, random: () => number): void {
    const { cached, durable } = directory
    for (const name of new Set([...cached.keys(), ...durable.keys()])) {
      const kept = random() < 0.5 ? cached.get(name) : durable.get(name)
      if (kept) cached.set(name, kept)
      else cached.delete(name)
    }
    directory.durable = new Map(cached)
    for (const node of cached.values()) {
      if ('file' in node) cutFile(node.file, random)
      else cutDirectory(node.directory, random)
    }
  }

  return {
    open: async (path, mode) => {
      if (mode === 'create') {
        step()
        const parent = parentOf(path)
        if (parent.cached.has(nameOf(path))) throw systemError('EEXIST', path)
        if (free_bytes !== undefined && free_bytes <= 0) throw systemError('ENOSPC', path)
        const inode: Inode = { cached: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set() }
        parent.cached.set(nameOf(path), { file: inode })
        return fileOf(inode, path)
      }
      if (left <= 0) throw new Stopped('the machine is off')
      return fileOf(fileAt(path), path)
    },
    makeDirectory: async path => {
      step()
      const parent = parentOf(path)
      if (parent.cached.has(nameOf(path))) return false
      parent.cached.set(nameOf(path), { directory: { cached: new Map(), durable: new Map() } })
      return true
    },
    list: async path => [...directoryAt(path).cached.keys()],
    syncDirectory: async path => {
      const directory = directoryAt(path)
      if (step()) throw new Stopped('the machine went off')
      directory.durable = new Map(directory.cached)
    },
    rename: async (from, to) => {
      step()
      const node = parentOf(from).cached.get(nameOf(from))
      if (!node) throw systemError('ENOENT', from)
      parentOf(from).cached.delete(nameOf(from))
      parentOf(to).cached.set(nameOf(to), node)
    },
    remove: async path => {
      step()
      fileAt(path)
      parentOf(path).cached.delete(nameOf(path))
    },
    freeBytes: async () => free_bytes ?? 2 ** 40,
    stopAfter: operations => {
      left = operations
    },
    operations: () => done,
    restart: () => {
      left = Infinity
      done = 0
      generation++
    },
    powerCut: random => {
      cutDirectory(root, random)
      left = Infinity
      done = 0
      generation++
    },
    setFree: bytes => {
      free_bytes = bytes
    },
    failFlush: fails => {
      flushFails = fails
    },
    content: path => {
      try {
        return fileAt(path).cached
      } catch {
        return undefined
      }
    },
    setContent: (path, content) => {
      const parent = parentOf(path)
      if (content === undefined) parent.cached.delete(nameOf(path))
      else parent.cached.set(nameOf(path), { file: { cached: Buffer.from(content), durable: Buffer.from(content), dirty: new Set() } })
      parent.durable = new Map(parent.cached)
    },
  }
}
