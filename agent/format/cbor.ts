// CBOR (RFC 8949) in deterministic encoding, with typed arrays (RFC 8746), little-endian. The library reads typed arrays
// element by element; a page has fifteen columns of thousands of numbers, so they are copied as memory here.
import assert from 'node:assert/strict'
import { endianness } from 'node:os'
import { decode, encode } from 'cbor2'

assert(endianness() === 'LE', 'columns are copied as memory: this needs a little-endian processor')

type Column = Uint16Array | Uint32Array | BigUint64Array | BigInt64Array | Float64Array

const columnOf =
  <T extends Column>(make: { new (length: number): T; readonly BYTES_PER_ELEMENT: number }) =>
  (tag: { readonly contents: unknown }): T => {
    const bytes = tag.contents
    if (!(bytes instanceof Uint8Array) || bytes.length % make.BYTES_PER_ELEMENT !== 0) throw new RangeError('a typed array of another length')
    const column = new make(bytes.length / make.BYTES_PER_ELEMENT)
    new Uint8Array(column.buffer).set(bytes)
    return column
  }

const TYPED_ARRAYS = new Map<number, (tag: { readonly contents: unknown }) => Column>([
  [69, columnOf(Uint16Array)],
  [70, columnOf(Uint32Array)],
  [71, columnOf(BigUint64Array)],
  [79, columnOf(BigInt64Array)],
  [86, columnOf(Float64Array)],
])

/** Encodes plain objects, arrays, numbers, text, Uint8Array and typed arrays; the same value always gives the same bytes. */
export function encodeCbor(value: unknown): Buffer {
  const bytes = encode(value, { cde: true, rejectDuplicateKeys: true, ignoreOriginalEncoding: true })
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Decodes what encodeCbor() makes; anything that is not deterministic, or has a tag other than those of typed arrays
 * (which stay Tag objects), is refused or left for the caller to refuse. Byte strings are views into `bytes`.
 *
 * @throws Error  of the library, for bytes that are no such CBOR
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  // As Uint8Array: views that the library makes of a Buffer would be Buffers, whose slice() shares memory.
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return decode(view, { cde: true, ignoreGlobalTags: true, tags: TYPED_ARRAYS, maxDepth: 8 })
}
