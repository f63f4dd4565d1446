// What the system says of a file, as it comes from statx(2) and as a backup compares it: fields in 32-bit words, so that
// the files of a group lie side by side in shared memory, are compared without making a number of 64 bits of each time,
// and only of files that changed anything else is made.
import { constants } from 'node:fs'

/** Words of one file. Numbers of 64 bits begin at even words, the low half first. */
export const FACT = {
  /** Type and permissions. */
  mode: 0,
  uid: 1,
  gid: 2,
  nlink: 3,
  mtime_ns: 4,
  ctime_ns: 6,
  ino: 8,
  /** As st_dev has it. */
  dev: 10,
  rdev_major: 12,
  rdev_minor: 13,
  /** A floating-point number, in bytes. */
  size: 14,
  /** How many of 512 bytes are taken, as a floating-point number. */
  blocks: 16,
} as const
export const FACT_WORDS = 18

/** The same memory, three ways. */
export type Words = { readonly u32: Uint32Array; readonly i64: BigInt64Array; readonly f64: Float64Array }

/** Views of memory whose offset and length are multiples of eight bytes. */
export const wordsOf = (buffer: ArrayBufferLike, offset = 0, words = (buffer.byteLength - offset) / 4): Words => ({
  u32: new Uint32Array(buffer, offset, words),
  i64: new BigInt64Array(buffer, offset, words / 2),
  f64: new Float64Array(buffer, offset, words / 2),
})

// struct statx, in words.
const STATX = {
  nlink: 4,
  uid: 5,
  gid: 6,
  mode: 7,
  ino: 8,
  size: 10,
  blocks: 12,
  ctime: 24,
  mtime: 28,
  rdev_major: 32,
  rdev_minor: 33,
  dev_major: 34,
  dev_minor: 35,
}
export const STATX_BYTES = 256
const WORD = 2 ** 32
const NS = 1e9
const TIME_SPLIT = 2 ** 20

/** Takes the facts out of a struct statx, into the words from `at` on. */
export function writeFacts(to: Words, at: number, statx: Uint32Array): void {
  const { u32, f64 } = to
  u32[at + FACT.mode] = (statx[STATX.mode] as number) & 0xffff
  u32[at + FACT.uid] = statx[STATX.uid] as number
  u32[at + FACT.gid] = statx[STATX.gid] as number
  u32[at + FACT.nlink] = statx[STATX.nlink] as number
  writeTime(u32, at + FACT.mtime_ns, statx, STATX.mtime)
  writeTime(u32, at + FACT.ctime_ns, statx, STATX.ctime)
  u32[at + FACT.ino] = statx[STATX.ino] as number
  u32[at + FACT.ino + 1] = statx[STATX.ino + 1] as number
  const major = statx[STATX.dev_major] as number
  const minor = statx[STATX.dev_minor] as number
  u32[at + FACT.dev] = ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
  u32[at + FACT.dev + 1] = ((major & 0xfffff000) | (minor >>> 20)) >>> 0
  u32[at + FACT.rdev_major] = statx[STATX.rdev_major] as number
  u32[at + FACT.rdev_minor] = statx[STATX.rdev_minor] as number
  f64[(at + FACT.size) >> 1] = (statx[STATX.size] as number) + (statx[STATX.size + 1] as number) * WORD
  f64[(at + FACT.blocks) >> 1] = (statx[STATX.blocks] as number) + (statx[STATX.blocks + 1] as number) * WORD
}

// Seconds (64 bits, signed) and nanoseconds (32 bits) as nanoseconds of 64 bits; every step is exact in a double.
function writeTime(to: Uint32Array, at: number, statx: Uint32Array, from: number): void {
  const seconds = (statx[from] as number) + ((statx[from + 1] as number) | 0) * WORD
  const high = Math.floor(seconds / TIME_SPLIT)
  const upper = high * NS
  const lower = (seconds - high * TIME_SPLIT) * NS + (statx[from + 2] as number)
  const carried = (upper - Math.floor(upper / 4096) * 4096) * TIME_SPLIT + lower
  to[at] = carried % WORD
  to[at + 1] = Math.floor(upper / 4096) + Math.floor(carried / WORD)
}

/** The facts of one file, taken out of the words. */
export class FileStats {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  /** In bytes. */
  readonly size: number
  /** Of 512 bytes. */
  readonly blocks: number
  readonly mtime_ns: bigint
  readonly ctime_ns: bigint
  readonly ino: bigint
  readonly dev: bigint
  readonly rdev: readonly [major: number, minor: number]

  constructor({ u32, i64, f64 }: Words, at: number) {
    const word = (field: number): number => u32[at + field] as number
    const long = (field: number): bigint => i64[(at + field) >> 1] as bigint
    this.mode = word(FACT.mode)
    this.uid = word(FACT.uid)
    this.gid = word(FACT.gid)
    this.nlink = word(FACT.nlink)
    this.size = f64[(at + FACT.size) >> 1] as number
    this.blocks = f64[(at + FACT.blocks) >> 1] as number
    this.mtime_ns = long(FACT.mtime_ns)
    this.ctime_ns = long(FACT.ctime_ns)
    this.ino = BigInt.asUintN(64, long(FACT.ino))
    this.dev = BigInt.asUintN(64, long(FACT.dev))
    this.rdev = [word(FACT.rdev_major), word(FACT.rdev_minor)]
  }

  isType(type: number): boolean {
    return (this.mode & constants.S_IFMT) === type
  }
  isFile(): boolean {
    return this.isType(constants.S_IFREG)
  }
  isSymlink(): boolean {
    return this.isType(constants.S_IFLNK)
  }
  isDevice(): boolean {
    return this.isType(constants.S_IFCHR) || this.isType(constants.S_IFBLK)
  }
  /** Whether it takes less room than it is long. */
  mayHaveHoles(): boolean {
    return this.blocks * 512 < this.size
  }
}
