// Where a page ends: behind an entry whose keyed path hash has 11 zero bits, so that the same entries give the same pages
// whatever stands elsewhere, and an insertion changes the page that it falls into (and rarely the next).
// A page has 256 to 8,192 entries; it also ends early when it is long (page-builder.ts) or at the end of the snapshot.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PAGE_ENTRIES_MAX, PAGE_ENTRIES_MIN, PATH_BYTES_MAX } from '#protocol/limits.ts'
import type { ArchiveKeys } from './keys.ts'

export const PAGE_CUT_BITS = 11

const MESSAGE_AT = 16
const CUT_MASK = 2 ** PAGE_CUT_BITS - 1

/**
 * Whether a page ends behind an entry.
 *
 * @param path     the entry's path, a byte string
 * @param entries  how many entries the page has, this one included
 */
export type EndsPage = (path: string, entries: number) => boolean

/** The low 32 bits of SipHash-2-4 of a byte string, read as an unsigned little-endian number. */
export type PathHash = (path: string) => number

let compiled: WebAssembly.Module | undefined

/**
 * SipHash-2-4 in WebAssembly: 0.2 µs for a path, a quarter of a call into the native library.
 *
 * @param key  16 bytes; copied
 */
export function createPathHash(key: Buffer): PathHash {
  compiled ??= new WebAssembly.Module(readFileSync(join(import.meta.dirname, 'path-hash.wasm')))
  const wasmMemory = new WebAssembly.Memory({ initial: 1, maximum: 1 })
  const { hash } = new WebAssembly.Instance(compiled, { env: { memory: wasmMemory } }).exports as { hash: (length: number) => number }
  const memory = Buffer.from(wasmMemory.buffer)
  memory.set(key, 0)
  return path => {
    if (path.length > PATH_BYTES_MAX) throw new RangeError('a path that is too long')
    return hash(memory.write(path, MESSAGE_AT, 'latin1')) >>> 0
  }
}

/** Where pages end, for one archive. */
export function createEndsPage(keys: ArchiveKeys): EndsPage {
  const pathHash = createPathHash(keys.path)
  return (path, entries) => entries >= PAGE_ENTRIES_MAX || (entries >= PAGE_ENTRIES_MIN && (pathHash(path) & CUT_MASK) === 0)
}
