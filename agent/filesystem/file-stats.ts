// What the system says of a file, in the form that a backup keeps it in: a third of the memory of node:fs' BigIntStats,
// of which a scan that runs ahead holds many.
import { type BigIntStats, constants, fstatSync, lstatSync } from 'node:fs'

export class FileStats {
  /** Type and permissions. */
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
  readonly rdev: bigint

  constructor(stats: BigIntStats) {
    this.mode = Number(stats.mode)
    this.uid = Number(stats.uid)
    this.gid = Number(stats.gid)
    this.nlink = Number(stats.nlink)
    this.size = Number(stats.size)
    this.blocks = Number(stats.blocks)
    this.mtime_ns = stats.mtimeNs
    this.ctime_ns = stats.ctimeNs
    this.ino = stats.ino
    this.dev = stats.dev
    this.rdev = stats.rdev
  }

  isType(type: number): boolean {
    return (this.mode & constants.S_IFMT) === type
  }
  isFile(): boolean {
    return this.isType(constants.S_IFREG)
  }
  isDirectory(): boolean {
    return this.isType(constants.S_IFDIR)
  }
  isSymlink(): boolean {
    return this.isType(constants.S_IFLNK)
  }
  isSocket(): boolean {
    return this.isType(constants.S_IFSOCK)
  }
  isDevice(): boolean {
    return this.isType(constants.S_IFCHR) || this.isType(constants.S_IFBLK)
  }
  /** Whether it takes less room than it is long. */
  mayHaveHoles(): boolean {
    return this.blocks * 512 < this.size
  }
}

/** Of a path itself, never of what a symlink points to. Throws as node:fs does; likewise statsOfFile. */
export const statsOfPath = (path: string | Buffer): FileStats => new FileStats(lstatSync(path, { bigint: true }))

/** Of an open file. */
export const statsOfFile = (fd: number): FileStats => new FileStats(fstatSync(fd, { bigint: true }))
