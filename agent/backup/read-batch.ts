// Small files, read a batch at a time by the main thread into memory that it shares with the reader thread: while that
// one hashes and packs the files of one batch, the kernel's half of the work on the next is done on another processor.
// Nothing is decided here: a file that can't be read, or that is not what the scan saw, is read again by its reader.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { hasXattrs } from '#filesystem/libc.ts'
import { systemPath } from '#filesystem/system-path.ts'

/** Content of one batch; files are longer than READ_AHEAD_BYTES_MAX never. */
export const BATCH_BYTES = 512 * 1024
export const BATCH_FILES_MAX = 48
export const READ_AHEAD_BYTES_MAX = 128 * 1024

/** What is said of each file, as numbers of 64 bits one after another. */
export const FACT = { read_bytes: 0, size: 1, mtime_ns: 2, ctime_ns: 3, ino: 4, hasXattrs: 5 } as const
export const FACTS = 6
const NOT_READ = -1n

export type Batch = {
  /** Byte-string paths with a NUL between them. */
  readonly paths: string
  /** BATCH_BYTES: the files one after another, each with the length that `facts` says, and one byte more. */
  readonly bytes: SharedArrayBuffer
  /** FACTS for each of BATCH_FILES_MAX; asked: `size`. Answered: all, of the file as it was after it was read. */
  readonly facts: SharedArrayBuffer
}

/** Reads the files of a batch; blocks for as long as that takes, some milliseconds. Never throws. */
export function readBatch(batch: Batch): void {
  const bytes = Buffer.from(batch.bytes)
  const facts = new BigInt64Array(batch.facts)
  let at = 0
  let fact = 0
  for (const path of batch.paths.split('\0')) {
    const length = Number(facts[fact + FACT.size]) + 1
    facts[fact + FACT.read_bytes] = NOT_READ
    try {
      readFile(path, bytes.subarray(at, at + length), facts, fact)
    } catch {
      // Its reader finds out why.
    }
    at += length
    fact += FACTS
  }
}

// At the file's end one byte more than expected is asked for, so that growth is seen.
function readFile(path: string, into: Buffer, facts: BigInt64Array, fact: number): void {
  const fd = openSync(systemPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const read_bytes = readSync(fd, into, 0, into.length, null)
    const stats = fstatSync(fd, { bigint: true })
    facts[fact + FACT.size] = stats.size
    facts[fact + FACT.mtime_ns] = stats.mtimeNs
    facts[fact + FACT.ctime_ns] = stats.ctimeNs
    facts[fact + FACT.ino] = stats.ino
    facts[fact + FACT.hasXattrs] = hasXattrs(fd) ? 1n : 0n
    if (stats.isFile()) facts[fact + FACT.read_bytes] = BigInt(read_bytes)
  } finally {
    closeSync(fd)
  }
}
