// What an update stands on: files of the ESP, partitions, and the disk that they are on. Few operations, so that a test
// can put a medium under it that forgets what was not synced.

export type MediaFile = {
  /** Writes all the pieces behind one another from `position` on (bytes). */
  write(pieces: readonly Uint8Array[], position: number): Promise<void>
  /** Reads up to target.length bytes; fewer only at the end. */
  read(target: Buffer, position: number): Promise<number>
  /** What was written survives a power cut. */
  datasync(): Promise<void>
  close(): Promise<void>
}

/**
 * read: past any cache, from the medium itself; append: what is there, to be changed; create: a new file;
 * claim: a partition that nobody else has open, nor can open until it is closed. Positions, lengths and memory of
 * `read` and `claim` are those of `alignedBuffer`.
 */
export type MediaMode = 'read' | 'append' | 'create' | 'claim'

export type Media = {
  open(path: string, mode: MediaMode): Promise<MediaFile>
  /** Names in a folder, unsorted. */
  list(folder: string): Promise<string[]>
  remove(path: string): Promise<void>
  /** The entries of a folder survive a power cut. */
  syncDirectory(folder: string): Promise<void>
}

/** Positions and lengths are multiples of this: enough for every disk. */
export const BLOCK_BYTES = 4096
/** Media are read and written in pieces of so many bytes. */
export const PIECE_BYTES = 1024 * 1024

/** The memory of a WebAssembly instance begins at a page of the machine, as reading and writing past the cache needs. */
export const alignedBuffer = (): Buffer =>
  Buffer.from(new WebAssembly.Memory({ initial: PIECE_BYTES / 65_536, maximum: PIECE_BYTES / 65_536 }).buffer, 0, PIECE_BYTES)
