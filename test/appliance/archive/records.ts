// Records for tests: well-formed, with ids and content that follow from a seed.
import { createHash } from 'node:crypto'
import { encodeSnapshotClear, joinIds } from '#protocol/clear-part.ts'
import { frameRecord, KIND, type Kind, parseRecord } from '#protocol/record.ts'
import type { Framed } from '../../../appliance/archive/append.ts'

/** A small, good and repeatable generator of numbers in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A seed for a random test: HOLDFAST_SEED, or the one given. */
export const seedOf = (usual: number): number => Number(process.env['HOLDFAST_SEED'] ?? usual)

export const idOf = (name: string): Buffer => createHash('sha256').update(name).digest()

export function bytesOf(name: string, length: number): Buffer {
  const block = createHash('sha256').update(`bytes ${name}`).digest()
  return Buffer.alloc(length, block)
}

/** A framed record as an upload hands it over, cut into pieces somewhere. */
export function framed(record: Buffer, cut = 88): Framed {
  const { header } = parseRecord(record)
  const at = Math.min(cut, record.length)
  return { header, pieces: at === record.length ? [record] : [record.subarray(0, at), record.subarray(at)] }
}

export const block = (name: string, length = 100): Buffer => frameRecord(KIND.block, 1, idOf(name), Buffer.alloc(0), bytesOf(name, length))

export const page = (name: string, blocks: readonly Buffer[]): Buffer => frameRecord(KIND.page, 1, idOf(name), joinIds(blocks), bytesOf(name, 60))

export const snapshot = (name: string, sequence: number, previous: Buffer | undefined, pages: readonly Buffer[]): Buffer =>
  frameRecord(KIND.snapshot, 1, idOf(name), encodeSnapshotClear({ sequence, previous, pages }), bytesOf(name, 80))

export const record = (kind: Kind, name: string): Buffer => frameRecord(kind, 1, idOf(name), Buffer.alloc(0), bytesOf(name, 40))

/** All chunks of a read, joined. */
export async function joined(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

/** The records that joined bytes hold, by hex id; each is checked. */
export function recordsIn(bytes: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (let at = 0; at < bytes.length; ) {
    const parsed = parseRecord(bytes, at)
    found.set(parsed.header.id.toString('hex'), parsed.bytes)
    at += parsed.bytes.length
  }
  return found
}
