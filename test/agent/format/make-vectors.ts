// Wrote the vectors beside it, once. A vector that is there is never written again: a format that changed must show.
//   node test/agent/format/make-vectors.ts
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { encodeCbor } from '#format/cbor.ts'
import { writeGearTable } from '#format/chunker.ts'
import { hashContent, startExtentsHash } from '#format/content-hash.ts'
import { createEndsPage, createPathHash } from '#format/cut.ts'
import { writeKeyFile } from '#format/key-file.ts'
import { type Packed, pack, packStored } from '#format/pack.ts'
import { padmeBytes } from '#format/padme.ts'
import { createPageBuilder } from '#format/page.ts'
import { readColumns } from '#format/page-columns.ts'
import { openRecord, recordId, sealRecord } from '#format/seal.ts'
import { encodeSnapshot } from '#format/snapshot.ts'
import { xaesSeal } from '#format/xaes.ts'
import { encodeSnapshotClear } from '#protocol/clear-part.ts'
import { digestOf, frameRecord, KIND, type Kind, parseRecord, writeRecordHeader } from '#protocol/record.ts'
import { ARCHIVE, OTHER_ARCHIVE, testKeys, testRing } from './keys-for-tests.ts'
import { TEST_ENTRIES, TEST_GROUPS, TEST_USERS } from './page-for-tests.ts'

const DIRECTORY = join(import.meta.dirname, 'vectors')
const keys = testKeys()
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function write(name: string, content: string | Uint8Array): void {
  const file = join(DIRECTORY, name)
  if (existsSync(file)) return console.error(`${name}: is there, left alone`)
  writeFileSync(file, content)
  console.error(`${name}: written`)
}
const writeJson = (name: string, value: unknown): void => write(name, `${JSON.stringify(value, null, 1)}\n`)

// Seals any inside at all, honestly: only the inside is wrong.
function sealInside(kind: Kind, id: Buffer, clear: Buffer, inside: Buffer): Buffer {
  const nonce = createHash('sha256').update(inside).digest().subarray(0, 24)
  const head = Buffer.alloc(8)
  head.writeUInt32LE(kind, 0)
  head.writeUInt32LE(1, 4)
  const sealed = Buffer.alloc(24 + inside.length + 16)
  sealed.set(nonce)
  xaesSeal(keys.sealing(1), nonce, Buffer.concat([head, id, Buffer.from(ARCHIVE, 'hex'), clear]), [inside], sealed, 24)
  return frameRecord(kind, 1, id, clear, sealed)
}

function inside(codec: number, plain_bytes: number, body_bytes: number, body: Uint8Array, length = padmeBytes(9 + body.length), padding = 0): Buffer {
  const bytes = Buffer.alloc(length, padding)
  bytes.writeUInt8(codec, 0)
  bytes.writeUInt32LE(plain_bytes, 1)
  bytes.writeUInt32LE(body_bytes, 5)
  bytes.set(body.subarray(0, length - 9), 9)
  return bytes
}

// A record changed after sealing, with digest and CRC put right again, as an attacker would.
function reframed(record: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(record)
  change(copy)
  const clear_bytes = copy.readUInt32LE(12)
  writeRecordHeader(copy, 0, {
    kind: copy.readUInt32LE(4) as Kind,
    epoch: copy.readUInt32LE(8),
    clear_bytes,
    sealed_bytes: copy.readUInt32LE(16),
    id: Buffer.from(copy.subarray(20, 52)),
    digest: digestOf(copy.subarray(88)),
  })
  return copy
}
const flip =
  (at: number) =>
  (copy: Buffer): void =>
    void (copy[at] = (copy[at] ?? 0) ^ 1)

async function sealed(kind: Kind, plaintext: Buffer, clear: Buffer, epoch = 1, isStored = false): Promise<Buffer> {
  const packed: Packed = isStored ? packStored(plaintext) : await pack(plaintext)
  return sealRecord(keys, ARCHIVE, epoch, kind, recordId(keys, kind, plaintext), clear, packed)
}

function keyVectors(): void {
  const gear = Buffer.alloc(2048)
  writeGearTable(gear, keys.chunk)
  const small = Buffer.from('a small file\n')
  const medium = Buffer.alloc(5000, 'holdfast ')
  const extents = startExtentsHash(keys)
  extents.add(Buffer.alloc(32, 1), 0, 1_048_576)
  extents.add(Buffer.alloc(32, 2), 0, 77)
  const endsPage = createEndsPage(keys)
  const paths = Array.from({ length: 4000 }, (_, i) => `path/${i}`)
  writeJson('keys.json', {
    user_keys: testRing().epochs.map(epoch => hex(testRing().keyOf(epoch) as Buffer)),
    archive: ARCHIVE,
    derived: {
      sealing_1: hex(keys.sealing(1)),
      sealing_2: hex(keys.sealing(2)),
      id: hex(keys.id),
      content: hex(keys.content),
      extents: hex(keys.extents),
      chunk: hex(keys.chunk),
      path: hex(keys.path),
    },
    gear_sha256: hex(createHash('sha256').update(gear).digest()),
    gear_first: hex(gear.subarray(0, 16)),
    block_id_of_small: hex(recordId(keys, KIND.block, small)),
    content_hash_of_small: hex(hashContent(keys, small)),
    content_hash_of_medium: hex(hashContent(keys, medium)),
    extents_hash: hex(extents.digest()),
    path_hash: createPathHash(keys.path)('home/ann/notes'),
    paths_that_end_pages: paths.filter(path => endsPage(path, 256)),
  })
  write('recovery-file.txt', writeKeyFile(testRing(), { user: 'ann', tenant: 'example', made_ms: 1_790_000_000_000 }))
}

async function recordVectors(): Promise<void> {
  const text = Buffer.from('Holdfast holds fast. '.repeat(40))
  const small = Buffer.from('a small file\n')
  const builder = createPageBuilder()
  for (const entry of TEST_ENTRIES) builder.add(entry)
  const page = builder.finish(TEST_USERS, TEST_GROUPS)
  const pageRecord = await sealed(KIND.page, page.plaintext, page.clear)
  const snapshotPlain = encodeSnapshot({
    sequence: 1,
    hostname: 'ann-laptop',
    paths: ['home/ann', 'srv/\xe9'],
    start_ms: 1_790_000_000_000,
    end_ms: 1_790_000_004_000,
    agent_version: '0.1.0',
    counts: { files: 4, directories: 3, others: 3, bytes: 1_050_983 },
    unreadable: [{ path: 'home/ann/secret', reason: 'EACCES' }],
  })
  const snapshotClear = encodeSnapshotClear({ sequence: 1, previous: undefined, pages: [parseRecord(pageRecord).header.id] })
  const blockStored = await sealed(KIND.block, small, Buffer.alloc(0), 1, true)
  const good = {
    'block, stored': blockStored,
    'block, zstd': await sealed(KIND.block, text, Buffer.alloc(0)),
    'block, epoch 2': await sealed(KIND.block, small, Buffer.alloc(0), 2, true),
    'block of one byte': await sealed(KIND.block, Buffer.from('x'), Buffer.alloc(0)),
    page: pageRecord,
    snapshot: await sealed(KIND.snapshot, snapshotPlain, snapshotClear),
  }
  const noClear = Buffer.alloc(0)
  const smallId = recordId(keys, KIND.block, small)
  const textId = recordId(keys, KIND.block, text)
  const zstd = zstdCompressSync(text)
  const nonceAt = 88 + page.clear.length
  const bad: Record<string, [string, Buffer]> = {
    'magic flipped': ['RECORD_INVALID', flipped(blockStored, 0)],
    'version of a later format': ['VERSION_UNSUPPORTED', newerVersion(blockStored)],
    'CRC flipped': ['RECORD_INVALID', flipped(blockStored, 84)],
    'last byte missing': ['RECORD_CUT', blockStored.subarray(0, -1)],
    'one byte too many': ['RECORD_INVALID', Buffer.concat([blockStored, Buffer.alloc(1)])],
    'nothing but a header': ['RECORD_CUT', blockStored.subarray(0, 88)],
    'kind changed': ['RECORD_DOES_NOT_OPEN', reframed(blockStored, copy => void (copy[4] = KIND.snapshot))],
    'kind that is never sealed': ['RECORD_INVALID', reframed(blockStored, copy => void (copy[4] = KIND.tombstone))],
    'epoch changed': ['RECORD_DOES_NOT_OPEN', reframed(blockStored, copy => void (copy[8] = 2))],
    'epoch that is not in the ring': ['KEY_EPOCH_UNKNOWN', reframed(blockStored, copy => void (copy[8] = 3))],
    'epoch 0': ['KEY_EPOCH_UNKNOWN', reframed(blockStored, copy => void (copy[8] = 0))],
    'id changed': ['RECORD_DOES_NOT_OPEN', reframed(blockStored, flip(20))],
    'clear part changed': ['RECORD_DOES_NOT_OPEN', reframed(pageRecord, flip(88))],
    'clear part in another order': [
      'RECORD_DOES_NOT_OPEN',
      reframed(pageRecord, copy => copy.set(Buffer.concat([pageRecord.subarray(120, 152), pageRecord.subarray(88, 120)]), 88)),
    ],
    'border between clear and sealed part moved': [
      'RECORD_DOES_NOT_OPEN',
      reframed(pageRecord, copy => {
        copy.writeUInt32LE(copy.readUInt32LE(12) - 32, 12)
        copy.writeUInt32LE(copy.readUInt32LE(16) + 32, 16)
      }),
    ],
    'nonce, first byte changed': ['RECORD_DOES_NOT_OPEN', reframed(pageRecord, flip(nonceAt))],
    'nonce, last byte changed': ['RECORD_DOES_NOT_OPEN', reframed(pageRecord, flip(nonceAt + 23))],
    'ciphertext changed': ['RECORD_DOES_NOT_OPEN', reframed(pageRecord, flip(nonceAt + 24))],
    'padding changed': ['RECORD_DOES_NOT_OPEN', reframed(pageRecord, flip(pageRecord.length - 17))],
    'tag, first byte changed': ['RECORD_DOES_NOT_OPEN', reframed(pageRecord, flip(pageRecord.length - 16))],
    'tag, last byte changed': ['RECORD_DOES_NOT_OPEN', reframed(pageRecord, flip(pageRecord.length - 1))],
    'sealed part shorter than nonce and tag': ['RECORD_DOES_NOT_OPEN', frameRecord(KIND.block, 1, smallId, noClear, Buffer.alloc(39))],
    'sealed for another archive': [
      'RECORD_DOES_NOT_OPEN',
      sealRecord(testKeys(OTHER_ARCHIVE), OTHER_ARCHIVE, 1, KIND.block, smallId, noClear, packStored(small)),
    ],
    'inside shorter than its header': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, smallId, noClear, Buffer.alloc(8))],
    'codec 2': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, smallId, noClear, inside(2, 13, 13, small))],
    'plain length over the limit of a block': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, textId, noClear, inside(1, 4_194_305, zstd.length, zstd))],
    'stored, plain length not the body length': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, smallId, noClear, inside(0, 12, 13, small))],
    'body length beyond the inside': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, smallId, noClear, inside(0, 200, 200, small))],
    'body length too short': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, smallId, noClear, inside(0, 9, 9, small))],
    'padding one too long': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, smallId, noClear, inside(0, 13, 13, small, 24))],
    'padding missing': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, recordId(keys, KIND.block, small.subarray(0, 8)), noClear, inside(0, 8, 8, small, 17))],
    'padding not zero': [
      'RECORD_CONTENT_WRONG',
      sealInside(KIND.block, recordId(keys, KIND.block, small.subarray(0, 8)), noClear, inside(0, 8, 8, small.subarray(0, 8), 18, 1)),
    ],
    'compressed to more than stored': [
      'RECORD_CONTENT_WRONG',
      sealInside(KIND.block, smallId, noClear, inside(1, 13, zstdCompressSync(small).length, zstdCompressSync(small))),
    ],
    'compressed body that is none': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, textId, noClear, inside(1, text.length, 50, Buffer.alloc(50, 0xaa)))],
    'compressed body that is cut': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, textId, noClear, inside(1, text.length, 30, zstd.subarray(0, 30)))],
    'decompresses to more than declared': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, textId, noClear, inside(1, text.length - 1, zstd.length, zstd))],
    'decompresses to less than declared': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, textId, noClear, inside(1, text.length + 1, zstd.length, zstd))],
    'id of another content': ['RECORD_CONTENT_WRONG', sealInside(KIND.block, textId, noClear, inside(0, 13, 13, small))],
    'id of the same content as another kind': [
      'RECORD_CONTENT_WRONG',
      sealInside(KIND.block, recordId(keys, KIND.page, small), noClear, inside(0, 13, 13, small)),
    ],
  }
  writeJson('records.json', {
    archive: ARCHIVE,
    good: Object.entries(good).map(([name, record]) => ({ name, record: hex(record), plaintext: hex(openRecord(keys, ARCHIVE, record)) })),
    bad: Object.entries(bad).map(([name, [code, record]]) => ({ name, code, record: hex(record) })),
  })
  pageVectors(page.plaintext, page.clear)
}

function flipped(record: Buffer, at: number): Buffer {
  const copy = Buffer.from(record)
  flip(at)(copy)
  return copy
}

function newerVersion(record: Buffer): Buffer {
  const copy = reframed(record, () => {})
  copy[3] = 2
  // The CRC covers the version: put it right as a newer writer would.
  const crc = frameCrc(copy)
  copy.writeUInt32LE(crc, 84)
  return copy
}

function frameCrc(record: Buffer): number {
  let crc = 0xffffffff
  for (const byte of record.subarray(0, 84)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

function pageVectors(plaintext: Buffer, clear: Buffer): void {
  type Changed = Record<string, unknown>
  const page = (change: (columns: Record<string, never>) => Changed): Buffer => {
    const columns = readColumns(plaintext) as unknown as Record<string, never>
    return encodeCbor({ ...columns, ...change(columns) })
  }
  const set = (column: string, at: number, value: number | bigint): Buffer =>
    page(columns => {
      const copy = (columns[column] as unknown as Uint32Array).slice()
      copy[at] = value as number
      return { [column]: copy }
    })
  const name = (from: string, to: string): Buffer =>
    page(columns => ({
      names: new Uint8Array(
        Buffer.from(
          Buffer.from(columns['names'] as unknown as Uint8Array)
            .toString('latin1')
            .replace(from, to),
          'latin1',
        ),
      ),
    }))
  const without = (column: string): Buffer => {
    const columns: Record<string, unknown> = { ...readColumns(plaintext) }
    delete columns[column]
    return encodeCbor(columns)
  }
  const bad: Record<string, [Buffer, Buffer]> = {
    'not CBOR': [Buffer.from('ff00', 'hex'), clear],
    'nothing at all': [Buffer.alloc(0), clear],
    'a byte behind the end': [Buffer.concat([plaintext, Buffer.alloc(1)]), clear],
    'a byte missing at the end': [plaintext.subarray(0, -1), clear],
    'a list instead of a map': [encodeCbor([1]), clear],
    'a version of a later format': [page(() => ({ version: 2 })), clear],
    'a column missing': [without('nlink'), clear],
    'a column too many': [page(() => ({ colour: 1 })), clear],
    'a column of another type': [page(() => ({ mode: new Uint16Array(10) })), clear],
    'a column of another length': [page(columns => ({ mode: (columns['mode'] as unknown as Uint32Array).slice(1) })), clear],
    'no entries': [page(() => ({ depth: new Uint16Array(0) })), clear],
    'a name with a slash': [name('notes', 'no/es'), clear],
    'a name with NUL': [name('notes', 'no\0es'), clear],
    'a name that is dot dot': [name('\xff\xfe', '..'), clear],
    'an empty name': [
      page(columns => ({ name_bytes: (columns['name_bytes'] as unknown as Uint16Array).map((n, i) => (i === 0 ? 0 : i === 1 ? n + 3 : n)) })),
      clear,
    ],
    'names longer than the names': [set('name_bytes', 0, 4), clear],
    'entries out of order': [name('sub', 'aub'), clear],
    'a name twice': [
      page(columns => ({
        names: new Uint8Array(
          Buffer.from(
            Buffer.from(columns['names'] as unknown as Uint8Array)
              .toString('latin1')
              .replace('link', 'emp')
              .replace('empty', 'empt')
              .replace('empemp', 'empemp'),
            'latin1',
          ),
        ),
      })),
      clear,
    ],
    'a first depth that does not fit parents': [set('depth', 0, 1), clear],
    'a depth of 0': [set('depth', 3, 0), clear],
    'a depth that skips one': [set('depth', 5, 5), clear],
    'an entry inside a file': [set('depth', 4, 4), clear],
    'parents with dot dot': [page(() => ({ parents: new Uint8Array(Buffer.from('..')) })), clear],
    'parents with an empty part': [page(() => ({ parents: new Uint8Array(Buffer.from('home/')) })), clear],
    'a path that is too long': [page(() => ({ parents: new Uint8Array(Buffer.from('h'.repeat(4090))) })), clear],
    'an extent of a block that is not there': [set('extent_block', 2, 2), clear],
    'blocks in another order than that of their use': [set('extent_block', 0, 1), clear],
    'a block that no extent uses': [plaintext, Buffer.concat([clear, Buffer.alloc(32)])],
    'a block missing': [plaintext, clear.subarray(0, 32)],
    'a clear part that is no list of ids': [plaintext, clear.subarray(0, -1)],
    'an extent of no bytes': [set('extent_length', 3, 0), clear],
    'an extent that leaves its block': [set('extent_offset', 3, 4_194_300), clear],
    'extents that do not add up to the size': [set('extent_length', 0, 299), clear],
    'more extents than the columns have': [set('extents', 8, 2), clear],
    'an extent of a directory': [
      page(columns => ({ extents: (columns['extents'] as unknown as Uint32Array).map((n, i) => (i === 3 ? 0 : i === 4 ? 1 : n)) })),
      clear,
    ],
    'a size that is not whole': [set('size', 3, 300.5), clear],
    'a negative size': [set('size', 1, -1), clear],
    'a size that is no number': [set('size', 1, Number.NaN), clear],
    'an unknown flag': [set('flags', 3, 5), clear],
    'a continuation that is not the first': [set('flags', 3, 3), clear],
    'content hashes missing': [set('flags', 1, 1), clear],
    'a content hash of a directory': [
      page(columns => ({ flags: (columns['flags'] as unknown as Uint8Array).map((f, i) => (i === 3 ? 0 : i === 4 ? 1 : f)) })),
      clear,
    ],
    'a hole that leaves the file': [set('hole_length', 0, 1_050_677), clear],
    'a hole of an entry that is not there': [set('hole_entry', 0, 10), clear],
    'a hole of no bytes': [set('hole_length', 0, 0), clear],
    'a type that is not kept': [set('mode', 5, 0o140600), clear],
    'a symlink without a target': [set('mode', 1, 0o120777), clear],
    'a target with NUL': [page(columns => ({ targets: (columns['targets'] as unknown as Uint8Array).map((b, i) => (i === 3 ? 0 : b)) })), clear],
    'a device node without a number': [page(() => ({ rdev: new Uint32Array(0) })), clear],
    'a device that is not in the list': [set('dev', 0, 1), clear],
    'a set of xattrs that is not there': [set('xattr_set', 3, 2), clear],
    'an xattr without a value': [page(() => ({ xattr_sets: [[new Uint8Array(3)]] })), clear],
    'an xattr without a name': [page(() => ({ xattr_sets: [[new Uint8Array(0), new Uint8Array(3)]] })), clear],
    'user names out of order': [page(() => ({ users: [1000, new Uint8Array(1).fill(65), 0, new Uint8Array(1).fill(66)] })), clear],
    'a user without a name': [page(() => ({ users: [1000] })), clear],
  }
  writeJson('page.json', {
    plaintext: hex(plaintext),
    clear: hex(clear),
    bad: Object.entries(bad).map(([name, [bytes, ids]]) => ({ name, plaintext: hex(bytes), clear: hex(ids) })),
  })
}

mkdirSync(DIRECTORY, { recursive: true })
keyVectors()
await recordVectors()
