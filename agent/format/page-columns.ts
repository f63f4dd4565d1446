// The columns of a page as they are encoded: one CBOR map whose keys are the names below, in FORMAT.md with the same
// names. Here is only their shape; what they mean together is checked by page.ts.
import { PAGE_ENTRIES_MAX } from '#protocol/limits.ts'
import { type Arena, decodeCbor } from './cbor.ts'
import { fault } from './errors.ts'

export const PAGE_VERSION = 1

export const FLAG = { content: 1, continuation: 2 } as const
export const TYPE_MASK = 0o170000
export const TYPE = { fifo: 0o010000, character: 0o020000, directory: 0o040000, block: 0o060000, file: 0o100000, symlink: 0o120000 } as const
/** A name's length in bytes: what every file system keeps under. */
export const NAME_BYTES_MAX = 1024
/** A symlink's target, in bytes. */
export const TARGET_BYTES_MAX = 4096
/** Extended attributes, holes and target of one entry together, in bytes. */
export const RARE_BYTES_MAX = 4 * 1024 * 1024

/** One value for each entry, unless said otherwise. */
export type Columns = {
  readonly version: number
  readonly parents: Uint8Array
  readonly depth: Uint16Array
  readonly name_bytes: Uint16Array
  /** All names behind one another. */
  readonly names: Uint8Array
  readonly mode: Uint32Array
  readonly uid: Uint32Array
  readonly gid: Uint32Array
  readonly size: Float64Array
  readonly mtime_ns: BigInt64Array
  readonly ctime_ns: BigInt64Array
  readonly ino: BigUint64Array
  readonly dev: Uint16Array
  /** What `dev` points into. */
  readonly devices: BigUint64Array
  readonly nlink: Uint32Array
  readonly flags: Uint8Array
  /** 32 bytes for each entry with FLAG.content, in order. */
  readonly content: Uint8Array
  /** How many extents each entry has. */
  readonly extents: Uint32Array
  /** One value for each extent. */
  readonly extent_block: Uint32Array
  readonly extent_offset: Uint32Array
  readonly extent_length: Uint32Array
  /** One length for each symlink, in order, and the targets behind one another. */
  readonly target_bytes: Uint16Array
  readonly targets: Uint8Array
  /** Major and minor for each device node, in order. */
  readonly rdev: Uint32Array
  /** Empty if no entry has any; else 0 for none, or 1 + an index into xattr_sets. */
  readonly xattr_set: Uint16Array
  /** Each set: name, value, name, value, … */
  readonly xattr_sets: readonly (readonly Uint8Array[])[]
  /** One value for each hole, in order of entry and offset. */
  readonly hole_entry: Uint32Array
  readonly hole_offset: Float64Array
  readonly hole_length: Float64Array
  /** id, name, id, name, … by rising id: those that the page's entries have. */
  readonly users: readonly (number | Uint8Array)[]
  readonly groups: readonly (number | Uint8Array)[]
}

const SHAPES = {
  parents: Uint8Array,
  depth: Uint16Array,
  name_bytes: Uint16Array,
  names: Uint8Array,
  mode: Uint32Array,
  uid: Uint32Array,
  gid: Uint32Array,
  size: Float64Array,
  mtime_ns: BigInt64Array,
  ctime_ns: BigInt64Array,
  ino: BigUint64Array,
  dev: Uint16Array,
  devices: BigUint64Array,
  nlink: Uint32Array,
  flags: Uint8Array,
  content: Uint8Array,
  extents: Uint32Array,
  extent_block: Uint32Array,
  extent_offset: Uint32Array,
  extent_length: Uint32Array,
  target_bytes: Uint16Array,
  targets: Uint8Array,
  rdev: Uint32Array,
  xattr_set: Uint16Array,
  hole_entry: Uint32Array,
  hole_offset: Float64Array,
  hole_length: Float64Array,
} as const
const ONE_PER_ENTRY = ['depth', 'name_bytes', 'mode', 'uid', 'gid', 'size', 'mtime_ns', 'ctime_ns', 'ino', 'dev', 'nlink', 'flags', 'extents'] as const
const LISTS = ['xattr_sets', 'users', 'groups'] as const

/** A page that is not what it should be. */
export const invalidPage = (expected: string, found: string, cause?: unknown): Error => fault('PAGE_INVALID', { expected, found, cause })

/**
 * Reads the columns out of a page's plaintext; the byte strings are views into it, the number columns copies in the arena.
 *
 * @throws PAGE_INVALID         not deterministic CBOR, a column missing, unknown, of another type or of another length
 */
export function readColumns(plaintext: Buffer): { readonly columns: Columns; readonly arena: Arena } {
  let decoded: ReturnType<typeof decodeCbor>
  try {
    decoded = decodeCbor(plaintext)
  } catch (cause) {
    throw invalidPage('a page in deterministic CBOR', 'other bytes', cause)
  }
  const { value, arena } = decoded
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) throw invalidPage('a map of columns', typeof value)
  const map = value as Record<string, unknown>
  if (map['version'] !== PAGE_VERSION) throw invalidPage(`version ${PAGE_VERSION}`, `version ${String(map['version'])}`)
  for (const [name, shape] of Object.entries(SHAPES)) if (!(map[name] instanceof shape)) throw invalidPage(`a column ${name} (${shape.name})`, 'none')
  for (const name of LISTS) if (!Array.isArray(map[name])) throw invalidPage(`a list ${name}`, 'none')
  const known = Object.keys(SHAPES).length + LISTS.length + 1
  if (Object.keys(map).length !== known) throw invalidPage(`${known} columns`, `${Object.keys(map).length}`)
  const isSet = (set: unknown): boolean => Array.isArray(set) && set.length > 0 && set.length % 2 === 0 && set.every(bytes => bytes instanceof Uint8Array)
  if (!(map['xattr_sets'] as unknown[]).every(isSet)) throw invalidPage('pairs of name and value in xattr_sets', 'something else')
  const columns = map as unknown as Columns
  const count = columns.depth.length
  if (count < 1 || count > PAGE_ENTRIES_MAX) throw invalidPage(`1 to ${PAGE_ENTRIES_MAX} entries`, `${count}`)
  for (const name of ONE_PER_ENTRY) if (columns[name].length !== count) throw invalidPage(`${count} values in ${name}`, `${columns[name].length}`)
  if (columns.xattr_set.length !== 0 && columns.xattr_set.length !== count) throw invalidPage(`${count} values in xattr_set`, `${columns.xattr_set.length}`)
  const extents = columns.extent_block.length
  if (columns.extent_offset.length !== extents || columns.extent_length.length !== extents) throw invalidPage('extent columns of one length', 'others')
  const holes = columns.hole_entry.length
  if (columns.hole_offset.length !== holes || columns.hole_length.length !== holes) throw invalidPage('hole columns of one length', 'others')
  return { columns, arena }
}

/** A list of id, name, id, name, … as a map; names as byte strings. @throws PAGE_INVALID */
export function readNames(list: readonly unknown[], what: string): Map<number, string> {
  const names = new Map<number, string>()
  let last = -1
  for (let at = 0; at < list.length; at += 2) {
    const id = list[at]
    const name = list[at + 1]
    if (
      typeof id !== 'number' ||
      !Number.isInteger(id) ||
      id <= last ||
      id > 0xffffffff ||
      !(name instanceof Uint8Array) ||
      name.length === 0 ||
      name.length > 256
    )
      throw invalidPage(`rising ids, each with its name, in ${what}`, 'something else')
    names.set(id, latin1(name))
    last = id
  }
  return names
}

/** Bytes as a string of one character each. */
export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

/** A byte string as bytes of their own. */
export const bytesOf = (text: string): Uint8Array => {
  const buffer = Buffer.from(text, 'latin1')
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
