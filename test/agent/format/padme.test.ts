import test from 'ava'
import fc from 'fast-check'
import { padmeBytes } from '#format/padme.ts'
import { check } from './seed.ts'

test('lengths are padded as the paper says', t => {
  const pairs = [
    [0, 0],
    [1, 1],
    [2, 2],
    [8, 8],
    [9, 10],
    [17, 18],
    [100, 104],
    [1000, 1024],
    [1_048_576, 1_048_576],
    [1_048_577, 1_081_344],
  ] as const
  for (const [bytes, padded] of pairs) t.is(padmeBytes(bytes), padded, `${bytes}`)
})

test('padding costs at most 12 %, never shortens, and is stable', t => {
  check(
    fc.property(fc.integer({ min: 2, max: 2 ** 26 }), bytes => {
      const padded = padmeBytes(bytes)
      return padded >= bytes && padded <= bytes * 1.12 && padmeBytes(padded) === padded
    }),
    5000,
  )
  t.pass()
})

test('a longer content is never padded to less', t => {
  check(
    fc.property(fc.integer({ min: 0, max: 2 ** 26 }), bytes => padmeBytes(bytes + 1) >= padmeBytes(bytes)),
    5000,
  )
  t.pass()
})

test('few lengths exist: the four million up to 4 MiB become under 600', t => {
  const lengths = new Set<number>()
  for (let bytes = 0; bytes <= 4_194_304; bytes = padmeBytes(bytes) + 1) lengths.add(padmeBytes(bytes))
  t.true(lengths.size < 600, `${lengths.size}`)
})
