import test from 'ava'
import fc from 'fast-check'
import { createRecordMemory } from '#site/record-memory.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const MEMORY_BYTES = 1000

test(`pieces that are out never overlap, and all of the memory comes back (seed ${seed})`, async t => {
  const run = fc.asyncProperty(fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 400 }), back: fc.nat(20) }), { maxLength: 120 }), async steps => {
    const memory = createRecordMemory(MEMORY_BYTES)
    const out: Buffer[] = []
    const asked: Promise<void>[] = []
    const mark = (piece: Buffer): void => {
      piece.fill(out.push(piece) % 251)
    }
    for (const { bytes, back } of steps) {
      const piece = memory.take(bytes)
      if (piece instanceof Promise) asked.push(piece.then(mark))
      else mark(piece)
      const [given] = out.splice(back, 1)
      if (given) {
        if (!given.every(byte => byte === given[0])) return false
        memory.give(given)
        await Promise.resolve()
      }
    }
    for (let isMore = true; isMore; ) {
      while (out.length > 0) memory.give(out.pop() as Buffer)
      await new Promise(resolve => setImmediate(resolve))
      isMore = out.length > 0
    }
    await Promise.all(asked)
    return !(memory.take(MEMORY_BYTES) instanceof Promise)
  })
  await fc.assert(run, { seed, numRuns: 200 })
  t.pass()
})

test('a long piece is not passed over for short ones', async t => {
  const memory = createRecordMemory(100)
  const first = memory.take(60) as Buffer
  const second = memory.take(40) as Buffer
  const order: string[] = []
  const long = Promise.resolve(memory.take(100)).then(piece => {
    order.push('long')
    memory.give(piece)
  })
  const short = Promise.resolve(memory.take(10)).then(() => order.push('short'))
  memory.give(second)
  await new Promise(resolve => setImmediate(resolve))
  t.deepEqual(order, [])
  memory.give(first)
  await Promise.all([long, short])
  t.deepEqual(order, ['long', 'short'])
})

test('what is longer than the whole gets memory of its own, and a piece goes back once', t => {
  const memory = createRecordMemory(100)
  const own = memory.take(101) as Buffer
  t.is(own.length, 101)
  const piece = memory.take(100) as Buffer
  memory.give(own)
  memory.give(piece)
  t.throws(() => memory.give(piece), { message: /twice/ })
})
