import test from 'ava'
import fc from 'fast-check'
import { dataRegions, forEachRun } from '#restore/regions.ts'

test('content that is written piece by piece around holes gives the same file as written at once', t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.log(`seed ${seed}`)
  const parts = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(parts, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 30 }), (runs, cuts) => {
      const holes: [number, number][] = []
      let size = 0
      let data_bytes = 0
      const expected: number[] = []
      for (const [isHole, length] of runs) {
        if (isHole) holes.push([size, length])
        for (let i = 0; i < length; i++) expected.push(isHole ? 0 : ++data_bytes % 251 || 1)
        size += length
      }
      const content = Buffer.from(expected.filter((_, i) => !holes.some(([offset, length]) => i >= offset && i < offset + length)))
      const written = Buffer.alloc(size)
      const regions = dataRegions(holes, size)
      let at = 0
      for (let i = 0; at < content.length; i++) {
        const length = Math.min(cuts[i % cuts.length] ?? 1, content.length - at)
        forEachRun(regions, at, length, (from, file, run) => void content.copy(written, file, at + from, at + from + run))
        at += length
      }
      t.deepEqual([...written], expected)
    }),
    { seed, numRuns: 300 },
  )
})
