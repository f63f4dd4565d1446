// Content-defined cutting of file data into blocks of 256 KiB to 2 MiB, 750 KiB on average: a gear hash (as in FastCDC)
// over a table that is derived from K_chunk, so that cuts say nothing to who has not the key.
// The work is done by chunker.wasm (chunker.as.ts, built by scripts/build-chunker.ts): files are read straight into its
// memory. Invariants: the memory never grows, so views into it stay valid; a cut depends only on the bytes before it,
// not on how they were read in.     What exactly is computed: FORMAT.md, "Cutting".
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import sodium from 'sodium-native'

export const CHUNK_BYTES_MIN = 256 * 1024
/** A chunk becomes a block. Blocks may be longer, but memory for them is what a backup's memory goes into. */
export const CHUNK_BYTES_MAX = 2 * 1024 * 1024
export const CHUNKER_BYTES_DEFAULT = 8 * 1024 * 1024

const GEAR_CONTEXT = 'holdfast-gear'
const WASM_PAGE_BYTES = 65_536
// The table lies at 0; data begins on the next page of memory.
const DATA_AT = WASM_PAGE_BYTES

type CutModule = { readonly cut: (start: number, available: number, isEnd: number) => number }

let compiled: WebAssembly.Module | undefined

export type Chunker = {
  /** Where the caller reads file data to. Stays the same memory for the chunker's life. */
  readonly memory: Buffer
  /**
   * Finds where the chunk that begins at `offset` ends.
   *
   * @param offset     where in `memory` the chunk begins
   * @param available  how many bytes of data are there, from `offset` on
   * @param isEnd      no more data follows them
   * @returns          the chunk's length in bytes; 0 if more data must be there first (never with CHUNK_BYTES_MAX bytes
   *                   available, and with isEnd only for no data)
   */
  nextCut(offset: number, available: number, isEnd: boolean): number
  /** Zeroes the table and the memory. */
  wipe(): void
}

/**
 * Makes a chunker with a memory of its own.
 *
 * @param key           K_chunk, 32 bytes
 * @param memory_bytes  at least CHUNK_BYTES_MAX; rounded up to 64 KiB
 */
export function createChunker(key: Buffer, memory_bytes: number = CHUNKER_BYTES_DEFAULT): Chunker {
  assert(memory_bytes >= CHUNK_BYTES_MAX)
  compiled ??= new WebAssembly.Module(readFileSync(join(import.meta.dirname, 'chunker.wasm')))
  const pages = Math.ceil((DATA_AT + memory_bytes) / WASM_PAGE_BYTES)
  const wasmMemory = new WebAssembly.Memory({ initial: pages, maximum: pages })
  const { cut } = new WebAssembly.Instance(compiled, { env: { memory: wasmMemory } }).exports as CutModule
  const table = Buffer.from(wasmMemory.buffer, 0, GEAR_BYTES)
  writeGearTable(table, key)
  const memory = Buffer.from(wasmMemory.buffer, DATA_AT, memory_bytes)
  return {
    memory,
    nextCut: (offset, available, isEnd) => {
      assert(offset >= 0 && available >= 0 && offset + available <= memory_bytes, 'outside the memory')
      return cut(DATA_AT + offset, available, isEnd ? 1 : 0) >>> 0
    },
    wipe: () => {
      table.fill(0)
      memory.fill(0)
    },
  }
}

const GEAR_BYTES = 256 * 8

/**
 * The table: 256 numbers of 64 bits, little-endian, made by 32 keyed BLAKE2b-512 of 'holdfast-gear' ‖ counter (u32 LE).
 *
 * @param target  2,048 bytes
 * @param key     K_chunk, 32 bytes
 */
export function writeGearTable(target: Buffer, key: Buffer): void {
  assert(target.length === GEAR_BYTES && key.length === 32)
  const message = Buffer.alloc(GEAR_CONTEXT.length + 4)
  message.write(GEAR_CONTEXT, 'latin1')
  for (let counter = 0; counter * 64 < GEAR_BYTES; counter++) {
    message.writeUInt32LE(counter, GEAR_CONTEXT.length)
    sodium.crypto_generichash(target.subarray(counter * 64, (counter + 1) * 64), message, key)
  }
}
