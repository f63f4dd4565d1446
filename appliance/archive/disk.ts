// The file layer that the archive engine stands on: few operations, so that tests can put a disk under it that forgets
// whatever was not synced. Invariants that users of it rely on:
//   bytes survive a power cut once `datasync` returned after their `write`;
//   a new file or directory survives once `syncDirectory` of its parent returned;
//   an operation that throws may have done a part of its work.

export type DiskFile = {
  /** Writes all the pieces behind one another from `position` on (bytes); throws when not all of them could be written. */
  write(pieces: readonly Uint8Array[], position: number): Promise<void>
  /** Reads up to target.length bytes from `position` on; returns how many, fewer only at the end of the file. */
  read(target: Buffer, position: number): Promise<number>
  /** fdatasync: what was written, and the file's length, survive a power cut. */
  datasync(): Promise<void>
  /** Cuts the file to `length` bytes; durable after `datasync`. */
  truncate(length: number): Promise<void>
  /** The file's length in bytes. */
  size(): Promise<number>
  close(): Promise<void>
}

export type Disk = {
  /** read: an existing file, read only; append: an existing file; create: a new file (mode 0600), which must not exist. */
  open(path: string, mode: 'read' | 'append' | 'create'): Promise<DiskFile>
  /** Makes one directory (mode 0700); returns false if there is one already. */
  makeDirectory(path: string): Promise<boolean>
  /** Names in a directory, unsorted; throws ENOENT. */
  list(path: string): Promise<string[]>
  /** fsync of a directory: its entries survive a power cut. */
  syncDirectory(path: string): Promise<void>
  /** Renames a file over another; durable after syncDirectory. */
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Bytes that may still be written on the volume of `path`. */
  freeBytes(path: string): Promise<number>
}

/** The `code` of a system error (ENOENT, ENOSPC, …), if it is one. */
export const systemCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

/** Whether an error says that the volume, or a quota on it, is full. */
export const isNoSpace = (error: unknown): boolean => NO_SPACE.has(systemCode(error))

const NO_SPACE: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
