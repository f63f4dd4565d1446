// One file, directory, link or node as a page keeps it. Paths, names and targets are byte strings: one character is one byte.

export type Entry = {
  /** Byte string without a leading '/'. */
  path: string
  /** The whole st_mode: type and permissions. */
  mode: number
  uid: number
  gid: number
  /** Of the whole file, in bytes, also in a continuation. */
  size: number
  mtime_ns: bigint
  ctime_ns: bigint
  ino: bigint
  dev: bigint
  nlink: number
  /** Keyed hash of the content, content-hash.ts. */
  content?: Buffer | undefined
  /** Together, in order, the content without its holes. */
  extents: { block: Buffer; offset: number; length: number }[]
  target?: string | undefined
  rdev?: [number, number] | undefined
  xattrs?: [string, Buffer][] | undefined
  /** offset and length, rising. */
  holes?: [number, number][] | undefined
  /** The file began in the page before: all but the extents is said again. */
  continuation?: true
}

/** What few entries have. */
export type Rare = Pick<Entry, 'target' | 'rdev' | 'xattrs' | 'holes' | 'continuation'>

/** A block that is still being filled: it gets its id before the page is finished. */
export type UnfinishedBlock = { id: Buffer | undefined }
export type NewExtent = { readonly block: Buffer | UnfinishedBlock; readonly offset: number; readonly length: number }
/** An entry as it is added to a page. */
export type NewEntry = Omit<Entry, 'extents'> & { extents: readonly NewExtent[] }
