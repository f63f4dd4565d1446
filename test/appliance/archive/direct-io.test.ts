// The real disk, with long writes and reads past the page cache, against what the same calls mean.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { DIRECT_BYTES_MIN } from '../../../appliance/archive/direct-io.ts'
import { realDisk } from '../../../appliance/archive/real-disk.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const root = mkdtempSync(join(tmpdir(), 'holdfast-direct-'))
test.after.always(() => rmSync(root, { recursive: true, force: true }))

/** Bytes that differ from place to place. */
const bytesFrom = (start: number, length: number): Buffer => {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = ((start + i) * 2_654_435_761) >>> 13
  return bytes
}

test(`appended pieces of any length stand where they belong, and any part is read back (seed ${seed})`, async t => {
  let files = 0
  const length = fc.oneof(
    fc.integer({ min: 1, max: 5000 }),
    fc.integer({ min: DIRECT_BYTES_MIN - 10, max: 3_000_000 }),
    fc.constantFrom(4096, 2 ** 20, 2 ** 20 + 8192),
  )
  const appends = fc.array(
    fc.record({ pieces: fc.array(length, { minLength: 1, maxLength: 4 }), isSynced: fc.boolean(), cut: fc.integer({ min: 0, max: 9 }) }),
    { minLength: 1, maxLength: 6 },
  )
  const run = fc.asyncProperty(appends, fc.array(fc.tuple(fc.nat(), fc.nat(2_500_000)), { maxLength: 6 }), async (calls, reads) => {
    const path = join(root, `${files++}`)
    const file = await realDisk.open(path, 'create')
    let position = 0
    for (const { pieces, isSynced, cut } of calls) {
      const start = position
      await file.write(
        pieces.map(bytes => {
          const piece = bytesFrom(position, bytes)
          position += bytes
          return piece
        }),
        start,
      )
      if (isSynced) await file.datasync()
      // As when a write is taken back.
      if (cut === 0) {
        await file.truncate(start)
        position = start
      }
    }
    await file.close()
    const wanted = bytesFrom(0, position)
    const isSame = readFileSync(path).equals(wanted)
    const reading = await realDisk.open(path, 'read')
    let areSame = true
    for (const [at, bytes] of reads) {
      const offset = at % (position + 1)
      const target = Buffer.alloc(bytes)
      const read_bytes = await reading.read(target, offset)
      areSame &&= read_bytes === Math.min(bytes, position - offset) && target.subarray(0, read_bytes).equals(wanted.subarray(offset, offset + read_bytes))
    }
    await reading.close()
    rmSync(path)
    return isSame && areSame
  })
  await fc.assert(run, { seed, numRuns: 40 })
  t.pass()
})

test('many files are written at once', async t => {
  const paths = Array.from({ length: 20 }, (_, i) => join(root, `at once ${i}`))
  await Promise.all(
    paths.map(async (path, i) => {
      const file = await realDisk.open(path, 'create')
      for (let at = 0; at < 5; at++) await file.write([bytesFrom(i + at * 700_001, 700_001)], at * 700_001)
      await file.datasync()
      await file.close()
    }),
  )
  for (const [i, path] of paths.entries()) t.true(readFileSync(path).equals(bytesFrom(i, 5 * 700_001)), path)
})

test('a disk that becomes full during a long write says so', async t => {
  const file = await realDisk.open('/dev/full', 'append').catch(() => undefined)
  if (!file) return void t.pass()
  await t.throwsAsync(file.write([Buffer.alloc(2_000_000)], 0), { code: 'ENOSPC' })
  await file.close()
})
