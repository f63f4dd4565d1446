import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, createChunker, writeGearTable } from '#format/chunker.ts'
import { BLOCK_BYTES_MAX } from '#protocol/limits.ts'
import { buildWasmModules, WASM_MODULES } from '../../../scripts/build-chunker.ts'
import { check, SEED, seededBytes } from './seed.ts'

const KEY = Buffer.alloc(32, 7)

// Cuts data that arrives in pieces of these lengths (the last is repeated), as a reader of files does.
function cutsOf(data: Buffer, pieces: readonly number[], memory_bytes: number): number[] {
  const chunker = createChunker(KEY, memory_bytes)
  const cuts: number[] = []
  let start = 0
  let filled = 0
  let read = 0
  let turn = 0
  for (;;) {
    const isEnd = read === data.length
    const length = chunker.nextCut(start, filled - start, isEnd)
    if (length > 0) {
      cuts.push(length)
      start += length
    } else if (isEnd) return cuts
    else {
      chunker.memory.copyWithin(0, start, filled)
      filled -= start
      start = 0
      const piece = Math.min(pieces[Math.min(turn++, pieces.length - 1)] ?? 1, memory_bytes - filled, data.length - read)
      data.copy(chunker.memory, filled, read, read + piece)
      filled += piece
      read += piece
    }
  }
}

// The definition, in the plainest way: FORMAT.md, "Cutting".
function plainCut(data: Buffer, start: number, gear: BigUint64Array): number {
  const available = data.length - start
  for (let length = CHUNK_BYTES_MIN + 1; length <= Math.min(available, CHUNK_BYTES_MAX); length++) {
    let hash = 0n
    for (let at = start + length - 64; at < start + length; at++) hash = BigInt.asUintN(64, (hash << 1n) + (gear[data[at] ?? 0] ?? 0n))
    if (hash < 1n << 45n) return length
  }
  return Math.min(available, CHUNK_BYTES_MAX)
}

test('the committed WebAssembly is what its source compiles to', t => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-wasm-'))
  try {
    buildWasmModules(directory)
    for (const name of WASM_MODULES)
      t.deepEqual(readFileSync(join(directory, `${name}.wasm`)), readFileSync(join(import.meta.dirname, '../../../agent/format', `${name}.wasm`)), name)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('any split of the input gives the same cuts', t => {
  const data = seededBytes(13_000_000, SEED)
  const whole = cutsOf(data, [data.length], 16_777_216)
  check(
    fc.property(
      fc.array(fc.integer({ min: 70_000, max: 5_000_000 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: CHUNK_BYTES_MAX, max: 9_000_000 }),
      (pieces, memory_bytes) => {
        t.deepEqual(cutsOf(data, pieces, memory_bytes), whole)
      },
    ),
    12,
  )
  t.is(
    whole.reduce((sum, length) => sum + length, 0),
    data.length,
  )
})

test('cuts are where the plain definition puts them, and within their limits', t => {
  const data = seededBytes(9_000_000, SEED)
  const table = Buffer.alloc(2048)
  writeGearTable(table, KEY)
  const gear = new BigUint64Array(table.buffer.slice(table.byteOffset, table.byteOffset + 2048))
  const cuts = cutsOf(data, [1_000_000], 8_388_608)
  let start = 0
  for (const [turn, length] of cuts.entries()) {
    t.true(length <= CHUNK_BYTES_MAX && (length > CHUNK_BYTES_MIN || turn === cuts.length - 1))
    // The whole definition once (it is slow), else only that the cut is one.
    if (turn === 0) t.is(plainCut(data, start, gear), length)
    start += length
  }
})

test('bytes put in at the front change only the first blocks', t => {
  const data = seededBytes(16_000_000, SEED)
  const ends = (cuts: readonly number[], total: number): Set<number> => {
    let left = total
    return new Set(cuts.map(length => (left -= length)))
  }
  const before = ends(cutsOf(data, [data.length], 16_777_216), data.length)
  const longer = Buffer.concat([Buffer.from('a few more'), data])
  const after = ends(cutsOf(longer, [longer.length], 16_777_216), longer.length)
  t.true([...after].filter(end => !before.has(end)).length <= 4)
})

test('content that repeats is cut alike after a few blocks, whatever its period', t => {
  for (const period_bytes of [600_000, 1_048_576, 1_500_000]) {
    const unit = seededBytes(period_bytes, 5)
    const cuts = cutsOf(Buffer.concat(Array.from({ length: 24_000_000 / period_bytes }, () => unit)), [4_000_000], 8_388_608)
    let start = 0
    const begins = cuts.map(length => ((start += length) - length) % period_bytes)
    const late = begins.slice(begins.length / 2, -1)
    t.true(new Set(late).size <= late.length / 2, `${period_bytes}: ${late.join(' ')}`)
  }
})

test('bytes without any variety are cut at the largest size, and little data is one chunk', t => {
  t.deepEqual(cutsOf(Buffer.alloc(9_000_000), [500_000], 8_388_608), [...Array.from({ length: 4 }, () => CHUNK_BYTES_MAX), 9_000_000 - 4 * CHUNK_BYTES_MAX])
  t.deepEqual(cutsOf(Buffer.alloc(1000), [10], CHUNK_BYTES_MAX), [1000])
  t.deepEqual(cutsOf(Buffer.alloc(0), [10], CHUNK_BYTES_MAX), [])
})

test('another key cuts elsewhere', t => {
  const data = seededBytes(4_000_000, SEED)
  const first = (key: Buffer): number => {
    const chunker = createChunker(key)
    data.copy(chunker.memory)
    return chunker.nextCut(0, data.length, true)
  }
  t.not(first(Buffer.alloc(32, 1)), first(Buffer.alloc(32, 2)))
})

test('a wiped chunker holds nothing of key or data', t => {
  const chunker = createChunker(KEY)
  chunker.memory.fill(1)
  chunker.wipe()
  t.true(Buffer.from(chunker.memory.buffer).every(byte => byte === 0))
})

test('a chunk is never longer than a block may be', t => {
  t.true(CHUNK_BYTES_MAX <= BLOCK_BYTES_MAX)
})
