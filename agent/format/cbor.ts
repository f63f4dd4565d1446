// CBOR (RFC 8949) in deterministic encoding, with typed arrays (RFC 8746), little-endian. The library reads typed arrays
// element by element; a page has fifteen columns of thousands of numbers, so they are copied as memory here.
import assert from 'node:assert/strict'
import { endianness } from 'node:os'
import { decode, encode } from 'cbor2'

assert(endianness() === 'LE', 'columns are copied as memory: this needs a little-endian processor')

type Column = Uint16Array | Uint32Array | BigUint64Array | BigInt64Array | Float64Array

/** Memory in one piece, for many arrays that are given back together. */
export type Arena = { readonly memory: ArrayBuffer; used_bytes: number }
const ALIGNMENT = 8

const TYPED_ARRAYS = [
  [69, Uint16Array],
  [70, Uint32Array],
  [71, BigUint64Array],
  [79, BigInt64Array],
  [86, Float64Array],
] as const satisfies readonly (readonly [number, new (memory: ArrayBuffer, offset: number, length: number) => Column])[]

const columnIn = (arena: Arena, make: (typeof TYPED_ARRAYS)[number][1], bytes: unknown): Column => {
  if (!(bytes instanceof Uint8Array) || bytes.length % make.BYTES_PER_ELEMENT !== 0) throw new RangeError('a typed array of another length')
  const column = new make(arena.memory, arena.used_bytes, bytes.length / make.BYTES_PER_ELEMENT)
  new Uint8Array(arena.memory, arena.used_bytes).set(bytes)
  arena.used_bytes += Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT
  return column
}

/** An array of zeros in the arena; of its own memory if there is no room. */
export function takeFrom<T extends Int32Array | Uint32Array>(
  arena: Arena,
  make: { new (memory: ArrayBuffer, offset: number, length: number): T; new (length: number): T },
  length: number,
): T {
  const bytes = Math.ceil((length * 4) / ALIGNMENT) * ALIGNMENT
  if (arena.used_bytes + bytes > arena.memory.byteLength) return new make(length)
  const array = new make(arena.memory, arena.used_bytes, length)
  arena.used_bytes += bytes
  return array
}

/** Encodes plain objects, arrays, numbers, text, Uint8Array and typed arrays; the same value always gives the same bytes. */
export function encodeCbor(value: unknown): Buffer {
  const bytes = encode(value, { cde: true, rejectDuplicateKeys: true, ignoreOriginalEncoding: true })
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Decodes what encodeCbor() makes; anything that is not deterministic, or has a tag other than those of typed arrays
 * (which stay Tag objects), is refused or left for the caller to refuse. Byte strings are views into `bytes`, typed arrays
 * views into the arena, in which there is as much room again as they take.
 *
 * @throws Error  of the library, for bytes that are no such CBOR
 */
export function decodeCbor(bytes: Uint8Array): { readonly value: unknown; readonly arena: Arena } {
  // As Uint8Array: views that the library makes of a Buffer would be Buffers, whose slice() shares memory.
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // A typed array takes more bytes encoded than its alignment can cost.
  const arena: Arena = { memory: new ArrayBuffer(Math.ceil((bytes.length * 2) / ALIGNMENT) * ALIGNMENT + ALIGNMENT), used_bytes: 0 }
  const tags = new Map(TYPED_ARRAYS.map(([tag, make]) => [tag as number, ({ contents }: { readonly contents: unknown }) => columnIn(arena, make, contents)]))
  return { value: decode(view, { cde: true, ignoreGlobalTags: true, tags, maxDepth: 8 }), arena }
}
