import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { writeGearTable } from '#format/chunker.ts'
import { BLAKE_CONTENT_BYTES_MAX, hashContent, startContentHash, startExtentsHash } from '#format/content-hash.ts'
import { createEndsPage, createPathHash } from '#format/cut.ts'
import { createKeyRing, decodeKeyRing, deriveArchiveKeys, encodeKeyRing, keyRingOf, wipeSecureBuffer, withNewEpoch } from '#format/keys.ts'
import { recordId } from '#format/seal.ts'
import { isFault } from '#protocol/fault.ts'
import { SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { KIND } from '#protocol/record.ts'
import { ARCHIVE, OTHER_ARCHIVE, testKeys, testRing } from './keys-for-tests.ts'
import { SEED, seededBytes } from './seed.ts'

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/keys.json'), 'utf8')) as {
  derived: Record<string, string>
  gear_sha256: string
  gear_first: string
  block_id_of_small: string
  content_hash_of_small: string
  content_hash_of_medium: string
  extents_hash: string
  path_hash: number
  paths_that_end_pages: string[]
}
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('the keys of an archive are those of the vectors', t => {
  const keys = testKeys()
  const derived = {
    sealing_1: keys.sealing(1),
    sealing_2: keys.sealing(2),
    id: keys.id,
    content: keys.content,
    extents: keys.extents,
    chunk: keys.chunk,
    path: keys.path,
  }
  t.deepEqual(Object.fromEntries(Object.entries(derived).map(([name, key]) => [name, hex(key)])), vectors.derived)
})

test('what is made of the keys is that of the vectors: ids, hashes, gear table, ends of pages', t => {
  const keys = testKeys()
  const small = Buffer.from('a small file\n')
  t.is(hex(recordId(keys, KIND.block, small)), vectors.block_id_of_small)
  t.is(hex(hashContent(keys, small)), vectors.content_hash_of_small)
  t.is(hex(hashContent(keys, Buffer.alloc(5000, 'holdfast '))), vectors.content_hash_of_medium)
  const extents = startExtentsHash(keys)
  extents.add(Buffer.alloc(32, 1), 0, 1_048_576)
  extents.add(Buffer.alloc(32, 2), 0, 77)
  t.is(hex(extents.digest()), vectors.extents_hash)
  const gear = Buffer.alloc(2048)
  writeGearTable(gear, keys.chunk)
  t.is(hex(gear.subarray(0, 16)), vectors.gear_first)
  t.is(hex(createHash('sha256').update(gear).digest()), vectors.gear_sha256)
  t.is(createPathHash(keys.path)('home/ann/notes'), vectors.path_hash)
  const endsPage = createEndsPage(keys)
  t.deepEqual(
    Array.from({ length: 4000 }, (_, i) => `path/${i}`).filter(path => endsPage(path, 256)),
    vectors.paths_that_end_pages,
  )
})

test('another archive and another epoch have other sealing keys; all else stays that of epoch 1', t => {
  const one = testKeys()
  t.notDeepEqual(one.sealing(1), one.sealing(2))
  t.notDeepEqual(one.sealing(1), testKeys(OTHER_ARCHIVE).sealing(1))
  const single = deriveArchiveKeys(testRing(1), ARCHIVE)
  for (const name of ['id', 'content', 'extents', 'chunk', 'path'] as const) t.deepEqual(single[name], one[name])
  t.true(
    isFault(
      t.throws(() => single.sealing(2)),
      'KEY_EPOCH_UNKNOWN',
    ),
  )
  const all = [one.sealing(1), one.id, one.content, one.extents, one.chunk].map(hex)
  t.is(new Set(all).size, all.length)
})

test('a key ring comes back from its bytes, with a new epoch too', t => {
  const ring = withNewEpoch(createKeyRing())
  t.deepEqual(ring.epochs, [1, 2])
  const bytes = encodeKeyRing(ring)
  const back = decodeKeyRing(bytes)
  for (const epoch of ring.epochs) t.deepEqual(back.keyOf(epoch), ring.keyOf(epoch))
  t.is(back.keyOf(3), undefined)
  for (const damaged of [bytes.subarray(1), Buffer.alloc(0), Buffer.concat([bytes.subarray(36), bytes.subarray(0, 36)]), bytes.subarray(36)])
    t.true(
      isFault(
        t.throws(() => decodeKeyRing(Buffer.from(damaged))),
        'KEY_RING_DAMAGED',
      ),
    )
})

test('wiped keys are gone, for everybody who still holds a view of them', t => {
  const ring = createKeyRing()
  const keys = deriveArchiveKeys(ring, ARCHIVE)
  const [view, id] = [ring.keyOf(1), keys.id]
  ring.wipe()
  ring.wipe()
  t.is(view?.length, 0)
  t.throws(() => ring.keyOf(1), { message: /wiped/ })
  t.is(id.length, 32)
  keys.wipe()
  t.is(id.length, 0)
  t.throws(() => keys.sealing(1), { message: /wiped/ })
})

test('the keys that a ring is made of can be wiped without harm to the ring', t => {
  const original = encodeKeyRing(testRing())
  const ring = keyRingOf([{ epoch: 1, key: original.subarray(4, 36) }])
  wipeSecureBuffer(original)
  t.deepEqual(ring.keyOf(1), testRing().keyOf(1))
})

test('the hash of a content does not depend on the pieces that it comes in', t => {
  const keys = testKeys()
  for (const length of [1, BLAKE_CONTENT_BYTES_MAX, BLAKE_CONTENT_BYTES_MAX + 1, SMALL_FILE_BYTES - 1]) {
    const content = seededBytes(length, SEED)
    const hash = startContentHash(keys, length)
    for (let at = 0; at < length; at += 3001) hash.update(content.subarray(at, at + 3001))
    t.deepEqual(hash.digest(), hashContent(keys, content), `${length}`)
  }
  t.throws(() => hashContent(keys, Buffer.alloc(SMALL_FILE_BYTES)))
  t.throws(() => hashContent(keys, Buffer.alloc(0)))
})
