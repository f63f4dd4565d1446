// Where a page builder keeps its entries until they are encoded.
import { PAGE_BLOCKS_MAX, PAGE_ENTRIES_MAX } from '#protocol/limits.ts'
import { CONTENT_HASH_BYTES } from './content-hash.ts'
import type { UnfinishedBlock } from './entry.ts'

// One place per entry and per extent, made once per builder: a first backup adds millions of entries.
/** Number columns for as many entries and extents as a page may have. */
export const makeColumns = () => ({
  depth: new Uint16Array(PAGE_ENTRIES_MAX),
  name_bytes: new Uint16Array(PAGE_ENTRIES_MAX),
  mode: new Uint32Array(PAGE_ENTRIES_MAX),
  uid: new Uint32Array(PAGE_ENTRIES_MAX),
  gid: new Uint32Array(PAGE_ENTRIES_MAX),
  size: new Float64Array(PAGE_ENTRIES_MAX),
  mtime_ns: new BigInt64Array(PAGE_ENTRIES_MAX),
  ctime_ns: new BigInt64Array(PAGE_ENTRIES_MAX),
  ino: new BigUint64Array(PAGE_ENTRIES_MAX),
  dev: new Uint16Array(PAGE_ENTRIES_MAX),
  nlink: new Uint32Array(PAGE_ENTRIES_MAX),
  flags: new Uint8Array(PAGE_ENTRIES_MAX),
  extents: new Uint32Array(PAGE_ENTRIES_MAX),
  xattr_set: new Uint16Array(PAGE_ENTRIES_MAX),
  content: new Uint8Array(PAGE_ENTRIES_MAX * CONTENT_HASH_BYTES),
  extent_block: new Uint32Array(PAGE_BLOCKS_MAX),
  extent_offset: new Uint32Array(PAGE_BLOCKS_MAX),
  extent_length: new Uint32Array(PAGE_BLOCKS_MAX),
})

/** What has no fixed length. */
export const makeLists = () => ({
  parents: '',
  names: [] as string[],
  devices: [] as bigint[],
  targets: [] as string[],
  rdev: [] as number[],
  xattr_sets: [] as Uint8Array[][],
  xattrIndexes: new Map<string, number>(),
  hole_entry: [] as number[],
  hole_offset: [] as number[],
  hole_length: [] as number[],
  /** Block id (latin1), or the block that has none yet → index, in order of first use. */
  blocks: new Map<string | UnfinishedBlock, number>(),
})
