// The one file that reaches the C library, for what node:fs can't do: times in nanoseconds, holes, extended attributes,
// device nodes; and for what a backup does for every file there is: stat and reading of small files, without a string, an
// object or an error for each. Paths are byte strings (system-path.ts), or bytes that end in NUL. Failures are thrown as
// errors with the errno name as `code`, as node:fs does, unless it says otherwise.

import { constants as fsConstants } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import type koffiModule from 'koffi'
import { FACT_WORDS, FileStats, STATX_BYTES, type Words, wordsOf, writeFacts } from './file-stats.ts'

type Libc = {
  readonly statx: (dirfd: number, path: Buffer, flags: number, mask: number, statx: Buffer) => number
  readonly open: (path: Buffer, flags: number) => number
  readonly read: (fd: number, into: Buffer, bytes: number) => number
  readonly close: (fd: number) => number
  readonly utimensat: (dirfd: number, path: Buffer, times: BigInt64Array, flags: number) => number
  readonly futimens: (fd: number, times: BigInt64Array) => number
  readonly lseek: (fd: number, offset: number, whence: number) => number
  readonly llistxattr: (path: Buffer, list: Buffer | null, size: number) => number
  readonly flistxattr: (fd: number, list: Buffer | null, size: number) => number
  readonly lgetxattr: (path: Buffer, name: Buffer, value: Buffer | null, size: number) => number
  readonly lsetxattr: (path: Buffer, name: Buffer, value: Buffer, size: number, flags: number) => number
  readonly mknod: (path: Buffer, mode: number, dev: bigint) => number
  readonly errno: () => number
}

const SEEK_DATA = 3
const SEEK_HOLE = 4
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_EMPTY_PATH = 0x1000
const STATX_BASIC_STATS = 0x7ff
const LIST_BYTES = 65_536
/** Linux; node:fs has no name for it. */
const O_CLOEXEC = 0o2000000

let loaded: Libc | undefined
const listBuffer = Buffer.allocUnsafeSlow(LIST_BYTES)
const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))

function libc(): Libc {
  if (loaded) return loaded
  const koffi = createRequire(import.meta.url)('koffi') as typeof koffiModule
  const library = open(koffi)
  loaded = {
    statx: library.func('int statx(int, const uint8_t*, int, unsigned int, uint8_t*)'),
    open: library.func('int open(const uint8_t*, int)'),
    read: library.func('int64_t read(int, uint8_t*, size_t)'),
    close: library.func('int close(int)'),
    utimensat: library.func('int utimensat(int, const uint8_t*, const int64_t*, int)'),
    futimens: library.func('int futimens(int, const int64_t*)'),
    lseek: library.func('int64_t lseek(int, int64_t, int)'),
    llistxattr: library.func('int64_t llistxattr(const uint8_t*, uint8_t*, size_t)'),
    flistxattr: library.func('int64_t flistxattr(int, uint8_t*, size_t)'),
    lgetxattr: library.func('int64_t lgetxattr(const uint8_t*, const uint8_t*, uint8_t*, size_t)'),
    lsetxattr: library.func('int lsetxattr(const uint8_t*, const uint8_t*, const uint8_t*, size_t, int)'),
    mknod: library.func('int mknod(const uint8_t*, uint32_t, uint64_t)'),
    errno: () => koffi.errno(),
  }
  return loaded
}

function open(koffi: typeof koffiModule): ReturnType<typeof koffiModule.load> {
  try {
    return koffi.load('libc.so.6')
  } catch {
    return koffi.load(`libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`)
  }
}

const cPath = (path: string): Buffer => Buffer.from(`/${path}\0`, 'latin1')
const cString = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1')

function failed(call: string): Error {
  const code = lastError()
  return Object.assign(new Error(`${code}: ${call}`), { code, errno: -libc().errno(), syscall: call })
}
const lastError = (): string => NAMES.get(libc().errno()) ?? `E${libc().errno()}`

const statxBuffer = Buffer.allocUnsafeSlow(STATX_BYTES)
const statxWords = new Uint32Array(statxBuffer.buffer)
const NO_PATH = Buffer.alloc(1)

/**
 * Stats a path itself, never what a symlink points to.
 *
 * @param path  bytes that end in NUL
 * @param to    gets the facts, from word `at` on
 * @returns     an errno name if that failed
 */
export function statPath(path: Buffer, to: Words, at: number): string | undefined {
  if (libc().statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, statxBuffer) !== 0) return lastError()
  writeFacts(to, at, statxWords)
  return undefined
}

/** Stats an open file. */
export function statFile(fd: number, to: Words, at: number): string | undefined {
  if (libc().statx(fd, NO_PATH, AT_EMPTY_PATH, STATX_BASIC_STATS, statxBuffer) !== 0) return lastError()
  writeFacts(to, at, statxWords)
  return undefined
}

const oneFile = wordsOf(new ArrayBuffer(FACT_WORDS * 4))

/** Stats a path itself, as an object. Throws as node:fs does; likewise statsOfFile. */
export function statsOfPath(path: string): FileStats {
  if (statPath(cPath(path), oneFile, 0) !== undefined) throw failed('statx')
  return new FileStats(oneFile, 0)
}
export function statsOfFile(fd: number): FileStats {
  if (statFile(fd, oneFile, 0) !== undefined) throw failed('statx')
  return new FileStats(oneFile, 0)
}

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fsConstants

/**
 * Reads a file from its beginning.
 *
 * @param path     bytes that end in NUL
 * @param into     memory for what it should have, and one byte more, so that growth is seen
 * @param inspect  gets the open file once it was read
 * @returns        how many bytes came; -1 if it can't be opened or read
 */
export function readWhole(path: Buffer, into: Buffer, inspect: (fd: number) => void): number {
  const { open, read, close } = libc()
  const fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
  if (fd < 0) return -1
  try {
    const bytes = Number(read(fd, into, into.length))
    inspect(fd)
    return bytes
  } finally {
    close(fd)
  }
}

/** Sets both times of a path itself (never of what a symlink points to), in ns since 1970. */
export function setTimes(path: string, atime_ns: bigint, mtime_ns: bigint): void {
  const times = new BigInt64Array(4)
  for (const [i, ns] of [atime_ns, mtime_ns].entries()) {
    const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
    times[2 * i] = (ns - rest) / 1_000_000_000n
    times[2 * i + 1] = rest
  }
  if (libc().utimensat(AT_FDCWD, cPath(path), times, AT_SYMLINK_NOFOLLOW) !== 0) throw failed('utimensat')
}

const fileTimes = new BigInt64Array(4)

/** Sets both times of an open file, in ns since 1970. Costs a quarter of setTimes. */
export function setTimesOfFile(fd: number, atime_ns: bigint, mtime_ns: bigint): void {
  fileTimes[0] = floorDivide(atime_ns)
  fileTimes[1] = atime_ns - floorDivide(atime_ns) * NS
  fileTimes[2] = floorDivide(mtime_ns)
  fileTimes[3] = mtime_ns - floorDivide(mtime_ns) * NS
  if (libc().futimens(fd, fileTimes) !== 0) throw failed('futimens')
}

const NS = 1_000_000_000n
const floorDivide = (ns: bigint): bigint => (ns >= 0n ? ns / NS : -((NS - 1n - ns) / NS))

/** The holes of an open file as [offset, length] in bytes, in order; undefined if it has none. Moves the file's position. */
export function readHoles(fd: number, size: number): [number, number][] | undefined {
  const { lseek } = libc()
  const holes: [number, number][] = []
  let at = 0
  while (at < size) {
    const hole = Number(lseek(fd, at, SEEK_HOLE))
    if (hole < 0 || hole >= size) break
    const data = Number(lseek(fd, hole, SEEK_DATA))
    // ENXIO: no data up to the end.
    const end = data < 0 || data > size ? size : data
    if (end > hole) holes.push([hole, end - hole])
    at = end
  }
  return holes.length > 0 ? holes : undefined
}

/** Names of a path's extended attributes as byte strings; none where the file system has none. One call as a rule. */
export function listXattrs(path: string): string[] {
  const { llistxattr } = libc()
  const bytes = Number(llistxattr(cPath(path), listBuffer, LIST_BYTES))
  if (bytes === 0) return []
  if (bytes < 0) {
    const error = failed('llistxattr')
    if ((error as NodeJS.ErrnoException).code === 'ENOTSUP' || (error as NodeJS.ErrnoException).code === 'EOPNOTSUPP') return []
    throw error
  }
  return listBuffer.toString('latin1', 0, bytes - 1).split('\0')
}

/** Whether an open file has extended attributes; also true if that can't be found out. */
export function hasXattrs(fd: number): boolean {
  const bytes = Number(libc().flistxattr(fd, null, 0))
  return bytes > 0 || (bytes < 0 && NAMES.get(libc().errno()) !== 'ENOTSUP' && NAMES.get(libc().errno()) !== 'EOPNOTSUPP')
}

/** The value of an extended attribute; undefined if it is gone. */
export function getXattr(path: string, name: string): Buffer | undefined {
  const { lgetxattr } = libc()
  const bytes = Number(lgetxattr(cPath(path), cString(name), listBuffer, LIST_BYTES))
  if (bytes >= 0) return Buffer.from(listBuffer.subarray(0, bytes))
  const error = failed('lgetxattr')
  if ((error as NodeJS.ErrnoException).code === 'ENODATA') return undefined
  throw error
}

/** Sets an extended attribute of the path itself. */
export function setXattr(path: string, name: string, value: Buffer): void {
  if (libc().lsetxattr(cPath(path), cString(name), value, value.length, 0) !== 0) throw failed('lsetxattr')
}

/** Makes a FIFO or device node. `mode` with its type bits. */
export function makeNode(path: string, mode: number, major: number, minor: number): void {
  const dev = (BigInt(major >>> 12) << 44n) | (BigInt(major & 0xfff) << 8n) | (BigInt(minor >>> 8) << 20n) | BigInt(minor & 0xff)
  if (libc().mknod(cPath(path), mode, dev) !== 0) throw failed('mknod')
}
