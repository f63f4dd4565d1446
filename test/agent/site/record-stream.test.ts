import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import test from 'ava'
import fc from 'fast-check'
import { isFault } from '#protocol/fault.ts'
import { CLEAR_BYTES_MAX, SEALED_BYTES_MAX } from '#protocol/limits.ts'
import { frameRecord, KIND, RECORD_HEADER_BYTES, writeRecordHeader } from '#protocol/record.ts'
import { createRecordMemory } from '#site/record-memory.ts'
import { readRecords } from '#site/record-stream.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)

const memory = createRecordMemory(100_000)
const record = (bytes: number): Buffer => frameRecord(KIND.block, 1, randomBytes(32), Buffer.alloc(0), randomBytes(bytes))

const cut = (bytes: Buffer, points: readonly number[]): Readable => Readable.from(partsOf(bytes, points))
function* partsOf(bytes: Buffer, points: readonly number[]): Generator<Buffer> {
  let from = 0
  for (const point of [...points].sort((a, b) => a - b).filter(one => one < bytes.length)) {
    yield bytes.subarray(from, point)
    from = point
  }
  yield bytes.subarray(from)
}

test(`records come out whole however the stream is cut (seed ${seed})`, async t => {
  const run = fc.asyncProperty(
    fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 8 }),
    fc.array(fc.nat(6000), { maxLength: 40 }),
    async (sizes, points) => {
      const records = sizes.map(record)
      const found: Buffer[] = []
      await readRecords(cut(Buffer.concat(records), points), memory, one => void found.push(Buffer.from(one)))
      return records.length === found.length && records.every((one, at) => one.equals(found[at] ?? Buffer.alloc(0)))
    },
  )
  await fc.assert(run, { seed, numRuns: 200 })
  t.pass()
})

test('as much is read as the memory has room for, and no more until something is done with', async t => {
  const records = [record(100), record(100), record(100)]
  const { length } = records[0] as Buffer
  let taken = 0
  async function* source(): AsyncGenerator<Buffer> {
    for (const one of records) {
      taken++
      yield one
    }
  }
  const open: (() => void)[] = []
  const reading = readRecords(
    Readable.from(source(), { highWaterMark: 1 }),
    createRecordMemory(2 * length),
    () => new Promise<void>(resolve => open.push(resolve)),
  )
  while (taken < 3) await new Promise(resolve => setImmediate(resolve))
  for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
  t.is(open.length, 2)
  open[0]?.()
  while (open.length < 3) await new Promise(resolve => setImmediate(resolve))
  let isDone = false
  const done = reading.then(() => {
    isDone = true
  })
  for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
  t.false(isDone)
  for (const finish of open) finish()
  await done
})

test('what goes wrong with a record ends the reading, after the others are done with', async t => {
  const records = Buffer.concat([record(100), record(100), record(100)])
  let handed = 0
  let isOtherDone = false
  const reading = readRecords(cut(records, []), memory, async () => {
    if (++handed === 2) throw new Error('no')
    await new Promise(resolve => setImmediate(resolve))
    isOtherDone = true
  })
  await t.throwsAsync(reading, { message: 'no' })
  t.true(isOtherDone)
})

test('a stream that ends inside a record is RECORD_CUT', async t => {
  const whole = record(50)
  for (const length of [1, RECORD_HEADER_BYTES - 1, RECORD_HEADER_BYTES, whole.length - 1]) {
    const error = await t.throwsAsync(readRecords(cut(whole.subarray(0, length), []), memory, () => {}))
    t.true(isFault(error, 'RECORD_CUT'), `${length}`)
  }
})

test('a header with an altered bit is refused', async t => {
  const whole = record(50)
  for (let bit = 0; bit < RECORD_HEADER_BYTES * 8; bit += 7) {
    const altered = Buffer.from(whole)
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const error = await t.throwsAsync(readRecords(cut(altered, []), memory, () => {}))
    t.true(isFault(error, 'RECORD_INVALID', 'VERSION_UNSUPPORTED'), `bit ${bit}`)
  }
})

test('a record that claims more than its limit is refused before anything is set aside for it', async t => {
  const head = Buffer.alloc(RECORD_HEADER_BYTES)
  const parts = { clear_bytes: CLEAR_BYTES_MAX, sealed_bytes: SEALED_BYTES_MAX }
  writeRecordHeader(head, 0, { kind: KIND.block, epoch: 1, id: randomBytes(32), digest: randomBytes(32), ...parts })
  t.true(isFault(await t.throwsAsync(readRecords(cut(head, []), memory, () => {})), 'RECORD_CUT'))
  t.throws(
    () =>
      writeRecordHeader(head, 0, { kind: KIND.block, epoch: 1, id: randomBytes(32), digest: randomBytes(32), ...parts, sealed_bytes: SEALED_BYTES_MAX + 1 }),
    { instanceOf: RangeError },
  )
})
