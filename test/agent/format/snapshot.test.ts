import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { decodeCbor, encodeCbor } from '#format/cbor.ts'
import { PAGE_BYTES_MAX } from '#format/pack.ts'
import { decodeSnapshot, encodeSnapshot, UNREADABLE_BYTES_MAX } from '#format/snapshot.ts'
import { isFault } from '#protocol/fault.ts'
import { check } from './seed.ts'

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/records.json'), 'utf8')) as { good: { name: string; plaintext: string }[] }
const PLAINTEXT = Buffer.from(vectors.good.find(one => one.name === 'snapshot')?.plaintext ?? '', 'hex')

const bytePath = fc.string({ unit: fc.constantFrom('a', '/', '\xff', '\xe9'), maxLength: 20 })
const whole = fc.maxSafeNat()
const snapshot = fc.record({
  sequence: whole,
  hostname: fc.string({ unit: 'grapheme' }),
  paths: fc.array(bytePath),
  start_ms: whole,
  end_ms: whole,
  agent_version: fc.string(),
  counts: fc.record({ files: whole, directories: whole, others: whole, bytes: whole }),
  unreadable: fc.array(fc.record({ path: bytePath, reason: fc.constantFrom('EACCES', 'CHANGED') })),
})

test('the snapshot of the vector is read, and written to the same bytes', t => {
  const decoded = decodeSnapshot(PLAINTEXT)
  t.is(decoded.hostname, 'ann-laptop')
  t.deepEqual(decoded.paths, ['home/ann', 'srv/\xe9'])
  t.deepEqual(decoded.unreadable, [{ path: 'home/ann/secret', reason: 'EACCES' }])
  t.deepEqual(encodeSnapshot(decoded), PLAINTEXT)
})

test('any snapshot comes back as it went in', t => {
  check(
    fc.property(snapshot, one => {
      t.deepEqual(decodeSnapshot(encodeSnapshot(one)), { ...one, unreadable_count: one.unreadable.length })
    }),
    200,
  )
})

test('a hundred thousand unreadable files are counted, but only as many kept as fit', t => {
  const unreadable = Array.from({ length: 100_000 }, (_, i) => ({ path: 'x'.repeat(200) + i, reason: 'EACCES' }))
  const plaintext = encodeSnapshot({ ...decodeSnapshot(PLAINTEXT), unreadable })
  t.true(plaintext.length < UNREADABLE_BYTES_MAX + 1000 && plaintext.length < PAGE_BYTES_MAX)
  const decoded = decodeSnapshot(plaintext)
  t.is(decoded.unreadable_count, 100_000)
  t.true(decoded.unreadable.length > 10_000)
})

for (const [name, change] of Object.entries<Record<string, unknown>>({
  'another version': { version: 2 },
  'a negative time': { start_ms: -1 },
  'a sequence that is not whole': { sequence: 1.5 },
  'paths that are text': { paths: ['home'] },
  'counts missing': { counts: {} },
  'an unreadable file without a reason': { unreadable: [{ path: new Uint8Array(1) }] },
  'a hostname of bytes': { hostname: new Uint8Array(3) },
})) {
  test(`a snapshot is refused: ${name}`, t => {
    const map = decodeCbor(PLAINTEXT).value as Record<string, unknown>
    t.true(
      isFault(
        t.throws(() => decodeSnapshot(encodeCbor({ ...map, ...change }))),
        'SNAPSHOT_INVALID',
      ),
    )
  })
}

test('bytes that are no snapshot, cut or too long are refused', t => {
  for (const bytes of [Buffer.alloc(0), Buffer.from([1]), PLAINTEXT.subarray(0, -1), Buffer.concat([PLAINTEXT, Buffer.alloc(1)])])
    t.true(
      isFault(
        t.throws(() => decodeSnapshot(bytes)),
        'SNAPSHOT_INVALID',
      ),
    )
})
