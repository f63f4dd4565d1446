import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { CODEC, PACK_HEADER_BYTES, PAGE_BYTES_MAX, pack, packStored } from '#format/pack.ts'
import { padmeBytes } from '#format/padme.ts'
import { openRecord, recordId, sealRecord } from '#format/seal.ts'
import { isFault } from '#protocol/fault.ts'
import { BLOCK_BYTES_MAX, SEALED_BYTES_MAX } from '#protocol/limits.ts'
import { KIND, parseRecord } from '#protocol/record.ts'
import { ARCHIVE, OTHER_ARCHIVE, testKeys } from './keys-for-tests.ts'
import { SEED, seededBytes } from './seed.ts'

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/records.json'), 'utf8')) as {
  good: { name: string; record: string; plaintext: string }[]
  bad: { name: string; code: string; record: string }[]
}
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const keys = testKeys()
const NO_CLEAR = Buffer.alloc(0)

async function sealedBlock(plaintext: Buffer): Promise<Buffer> {
  return sealRecord(keys, ARCHIVE, 1, KIND.block, recordId(keys, KIND.block, plaintext), NO_CLEAR, await pack(plaintext))
}

for (const { name, record, plaintext } of vectors.good) {
  test(`a record opens, into new memory and in place: ${name}`, t => {
    t.deepEqual(openRecord(keys, ARCHIVE, bytes(record)), bytes(plaintext))
    for (const room of [Buffer.alloc(0), Buffer.alloc(BLOCK_BYTES_MAX)]) t.deepEqual(openRecord(keys, ARCHIVE, bytes(record), { room }), bytes(plaintext))
    t.deepEqual(recordId(keys, parseRecord(bytes(record)).header.kind, bytes(plaintext)), parseRecord(bytes(record)).header.id)
  })
}

for (const { name, code, record } of vectors.bad) {
  test(`a record does not open, into new memory or in place: ${name}`, t => {
    const error = t.throws(() => openRecord(keys, ARCHIVE, bytes(record)))
    t.true(isFault(error, code), String(error))
    const room = Buffer.alloc(BLOCK_BYTES_MAX)
    const inPlace = t.throws(() => openRecord(keys, ARCHIVE, bytes(record), { room }))
    t.true(isFault(inPlace, code), String(inPlace))
  })
}

test('any flipped bit of a record, its digest apart, keeps it from opening', t => {
  for (const { name, record } of vectors.good) {
    const copy = bytes(record)
    for (let bit = 0; bit < copy.length * 8; bit += 3) {
      const at = bit >> 3
      copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7))
      const error = t.throws(() => openRecord(keys, ARCHIVE, copy), undefined, `${name}, bit ${bit}`)
      t.true(isFault(error), String(error))
      copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7))
    }
    t.notThrows(() => openRecord(keys, ARCHIVE, copy))
  }
})

test('a record of another archive, or under other keys, does not open', t => {
  const record = bytes(vectors.good[0]?.record ?? '')
  t.true(
    isFault(
      t.throws(() => openRecord(testKeys(OTHER_ARCHIVE), OTHER_ARCHIVE, record)),
      'RECORD_DOES_NOT_OPEN',
    ),
  )
  t.throws(() => openRecord(testKeys(OTHER_ARCHIVE), ARCHIVE, record), { message: /another archive/ })
})

test('wiped keys seal and name nothing', t => {
  const wiped = testKeys()
  wiped.wipe()
  t.throws(() => recordId(wiped, KIND.block, NO_CLEAR), { message: /wiped/ })
  t.throws(() => sealRecord(wiped, ARCHIVE, 1, KIND.block, Buffer.alloc(32), NO_CLEAR, packStored(NO_CLEAR)), { message: /wiped/ })
})

test('any content comes back, and a record is as long as PADMÉ says', async t => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 70_000 }), fc.boolean(), async (length, isRandom) => {
      const plaintext = isRandom ? seededBytes(length, SEED + length) : Buffer.alloc(length, 'words and more ')
      const packed = await pack(plaintext)
      const record = sealRecord(keys, ARCHIVE, 2, KIND.block, recordId(keys, KIND.block, plaintext), NO_CLEAR, packed)
      t.is(record.length, 88 + 24 + padmeBytes(PACK_HEADER_BYTES + packed.body.length) + 16)
      t.true(packed.body.length <= length)
      t.deepEqual(openRecord(keys, ARCHIVE, record), plaintext)
    }),
    { seed: SEED, numRuns: 60 },
  )
})

test('the largest block and the largest page fit their limits when they do not compress', async t => {
  for (const [kind, length] of [
    [KIND.block, BLOCK_BYTES_MAX],
    [KIND.page, PAGE_BYTES_MAX],
  ] as const) {
    const plaintext = seededBytes(length, 1)
    const packed = await pack(plaintext)
    t.is(packed.codec, CODEC.stored)
    const record = sealRecord(keys, ARCHIVE, 1, kind, recordId(keys, kind, plaintext), NO_CLEAR, packed)
    t.true(parseRecord(record).sealed.length <= SEALED_BYTES_MAX)
    t.true(openRecord(keys, ARCHIVE, record).equals(plaintext))
    const longer = Buffer.concat([plaintext, Buffer.alloc(1)])
    t.throws(() => sealRecord(keys, ARCHIVE, 1, kind, recordId(keys, kind, longer), NO_CLEAR, packStored(longer)), { message: /limit/ })
  }
})

test('no two seals of one content are alike, but its id is', async t => {
  const [one, other] = [await sealedBlock(Buffer.from('same')), await sealedBlock(Buffer.from('same'))]
  t.deepEqual(parseRecord(one).header.id, parseRecord(other).header.id)
  t.notDeepEqual(parseRecord(one).sealed, parseRecord(other).sealed)
})
