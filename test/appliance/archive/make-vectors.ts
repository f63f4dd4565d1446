// Wrote the vectors beside it, once. A vector that is there is never written again: a format that changed must show.
//   node test/appliance/archive/make-vectors.ts
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { encodeSnapshotClear } from '#protocol/clear-part.ts'
import { digestOf, frameRecord, KIND, parseRecordHeader, RECORD_HEADER_BYTES, recordBytes, writeRecordHeader } from '#protocol/record.ts'
import { encodeFooter } from '../../../appliance/archive/segment-footer.ts'
import { encodeMark, encodeSegmentHeader, type OwnPlace } from '../../../appliance/archive/segment-records.ts'
import { idOf } from './records.ts'

const DIRECTORY = join(import.meta.dirname, 'vectors')
const ARCHIVE = '00112233445566778899aabbccddeeff'
const NONCE = Buffer.from('a0a1a2a3a4a5a6a7', 'hex')
const OTHER_NONCE = Buffer.from('b0b1b2b3b4b5b6b7', 'hex')
const RECEIVED_MS = 1_790_000_000_000

const place = (offset: number, nonce = NONCE, archive = ARCHIVE): OwnPlace => ({ archive: Buffer.from(archive, 'hex'), segment: 1, offset, nonce })

// The block of agent/format/FORMAT.md, so that both documents show the same.
const ofFormat = JSON.parse(readFileSync(join(import.meta.dirname, '../../agent/format/vectors/records.json'), 'utf8')) as { good: { record: string }[] }
const block = Buffer.from(ofFormat.good[0]?.record ?? '', 'hex')
const clear = encodeSnapshotClear({ sequence: 1, previous: undefined, pages: [] })
const snapshot = frameRecord(KIND.snapshot, 1, idOf('a snapshot'), clear, Buffer.from('stand-in'))

const HEADER_AT = 0
const MARK_AT = 96
const BLOCK_AT = 196
const SECOND_MARK_AT = BLOCK_AT + block.length
const SNAPSHOT_AT = SECOND_MARK_AT + 100
const FOOTER_AT = SNAPSHOT_AT + snapshot.length

const rows = [
  { id: parseId(block), kind: KIND.block, offset: BLOCK_AT, length: block.length },
  { id: parseId(snapshot), kind: KIND.snapshot, offset: SNAPSHOT_AT, length: snapshot.length },
]
const footerAt = (where: OwnPlace): Buffer =>
  encodeFooter({ place: where, records: rows, snapshots: [{ row: 1, sequence: 1, received_ms: RECEIVED_MS + 2000 }], torn: [] })
const open = Buffer.concat([
  encodeSegmentHeader(place(HEADER_AT), RECEIVED_MS),
  encodeMark(place(MARK_AT), { received_ms: RECEIVED_MS, durable_bytes: 0 }),
  block,
  encodeMark(place(SECOND_MARK_AT), { received_ms: RECEIVED_MS + 2000, durable_bytes: SECOND_MARK_AT }),
  snapshot,
])
const sealed = Buffer.concat([open, footerAt(place(FOOTER_AT))])

function parseId(record: Buffer): Buffer {
  return record.subarray(20, 52)
}

function changed(source: Buffer, change: (copy: Buffer<ArrayBuffer>) => void): Buffer {
  const copy = Buffer.from(source)
  change(copy)
  return copy
}
const flipped = (at: number, source: Buffer = sealed): Buffer => changed(source, copy => copy.writeUInt8(copy.readUInt8(at) ^ 1, at))

/** The segment up to a block in the place of the first one, with `content` as its sealed part. */
const withBlock = (content: Buffer): Buffer =>
  Buffer.concat([sealed.subarray(0, BLOCK_AT), frameRecord(KIND.block, 1, idOf('a block with something in it'), Buffer.alloc(0), content)])

/** The version of the format raised as a later writer would do it, with a right CRC. */
function newer(record: Buffer): Buffer {
  const copy = Buffer.from(record)
  copy[3] = 2
  copy.writeUInt32LE(crc32(copy.subarray(0, RECORD_HEADER_BYTES - 4)), RECORD_HEADER_BYTES - 4)
  return copy
}

const forgedMark = encodeMark(place(BLOCK_AT + RECORD_HEADER_BYTES, OTHER_NONCE), { received_ms: RECEIVED_MS, durable_bytes: 0 })
const withMark = withBlock(forgedMark)
// Lists nothing, and so would hide the block in which it stands.
const forgedFooter = encodeFooter({ place: place(BLOCK_AT + RECORD_HEADER_BYTES, OTHER_NONCE), records: [], snapshots: [], torn: [] })
const longMark = changed(sealed.subarray(SECOND_MARK_AT, SNAPSHOT_AT), copy => {
  copy.writeUInt32LE(9999, RECORD_HEADER_BYTES + 8)
  const header = parseRecordHeader(copy)
  if (typeof header === 'string') throw new Error(header)
  writeRecordHeader(copy, 0, { ...header, id: Buffer.from(header.id), digest: digestOf(copy.subarray(RECORD_HEADER_BYTES, recordBytes(header))) })
})

const torn = (offset: number, length: number): object => ({ offset, length, torn: true })
const lost = (offset: number, length: number): object => ({ offset, length, torn: false })
const BLOCK = { kind: KIND.block, offset: BLOCK_AT, length: block.length, received_ms: RECEIVED_MS }
const SNAPSHOT = { kind: KIND.snapshot, offset: SNAPSHOT_AT, length: snapshot.length, received_ms: RECEIVED_MS + 2000 }
const footer_bytes = sealed.length - FOOTER_AT

type Case = readonly [name: string, segment: Buffer, records: object[], bad: object[]]
const cases: Case[] = [
  ['the whole segment', sealed, [BLOCK, SNAPSHOT], []],
  ['the segment before it was sealed', open, [BLOCK, SNAPSHOT], []],
  ['a bit in the CRC-32 of the block', flipped(BLOCK_AT + 84), [SNAPSHOT], [lost(BLOCK_AT, block.length)]],
  ['a bit in the SHA-256 of the block, with the CRC-32 put right', rehashed(), [SNAPSHOT], [lost(BLOCK_AT, block.length)]],
  ['a bit in the sealed part of the block', flipped(BLOCK_AT + 100), [SNAPSHOT], [lost(BLOCK_AT, block.length)]],
  [
    'the version of the block, with the CRC-32 put right',
    Buffer.concat([sealed.subarray(0, BLOCK_AT), newer(block), sealed.subarray(SECOND_MARK_AT)]),
    [SNAPSHOT],
    [lost(BLOCK_AT, block.length)],
  ],
  ['a bit in the segment header', flipped(30), [BLOCK, SNAPSHOT], [lost(0, MARK_AT)]],
  ['a bit in the last byte of the clear part of the footer', flipped(sealed.length - 12), [BLOCK, SNAPSHOT], [torn(FOOTER_AT, footer_bytes)]],
  ['a bit in the tail', flipped(sealed.length - 1), [BLOCK, SNAPSHOT], [torn(FOOTER_AT, footer_bytes)]],
  [
    'the footer is that of another archive',
    Buffer.concat([open, footerAt(place(FOOTER_AT, NONCE, 'ff'.repeat(16)))]),
    [BLOCK, SNAPSHOT],
    [torn(FOOTER_AT, footer_bytes)],
  ],
  ['the footer has another nonce', Buffer.concat([open, footerAt(place(FOOTER_AT, OTHER_NONCE))]), [BLOCK, SNAPSHOT], [torn(FOOTER_AT, footer_bytes)]],
  ['it ends in the middle of the snapshot', open.subarray(0, -7), [BLOCK], [torn(SNAPSHOT_AT, snapshot.length - 7)]],
  ['it ends in the middle of the header of the snapshot', open.subarray(0, SNAPSHOT_AT + 50), [BLOCK], [torn(SNAPSHOT_AT, 50)]],
  [
    'the second group is zeros of the right length',
    changed(open, copy => copy.fill(0, SECOND_MARK_AT)),
    [BLOCK],
    [torn(SECOND_MARK_AT, open.length - SECOND_MARK_AT)],
  ],
  [
    'eight zeros before the second mark, which so is at another offset',
    Buffer.concat([open.subarray(0, SECOND_MARK_AT), Buffer.alloc(8), open.subarray(SECOND_MARK_AT)]),
    [BLOCK, { ...SNAPSHOT, offset: SNAPSHOT_AT + 8, received_ms: RECEIVED_MS }],
    [torn(SECOND_MARK_AT, 8), torn(SECOND_MARK_AT + 8, 100)],
  ],
  [
    'the second mark says that more was durable than stands before it, with digest and CRC-32 put right',
    Buffer.concat([open.subarray(0, SECOND_MARK_AT), longMark, open.subarray(SNAPSHOT_AT)]),
    [BLOCK, { ...SNAPSHOT, received_ms: RECEIVED_MS }],
    [],
  ],
  [
    'the block has a mark in its sealed part that a client made up, and a bit in its header',
    flipped(BLOCK_AT + 20, withMark),
    [],
    [torn(BLOCK_AT, RECORD_HEADER_BYTES), torn(BLOCK_AT + RECORD_HEADER_BYTES, forgedMark.length)],
  ],
  ['the last record ends with a footer that a client made up', withBlock(forgedFooter), [{ ...BLOCK, length: RECORD_HEADER_BYTES + forgedFooter.length }], []],
]

function rehashed(): Buffer {
  return changed(sealed, copy => {
    const header = parseRecordHeader(block)
    if (typeof header === 'string') throw new Error(header)
    const digest = Buffer.from(header.digest)
    digest.writeUInt8(digest.readUInt8(0) ^ 1, 0)
    writeRecordHeader(copy, BLOCK_AT, { ...header, id: Buffer.from(header.id), digest })
  })
}

const file = join(DIRECTORY, 'segments.json')
if (existsSync(file)) console.error('segments.json: is there, left alone')
else {
  mkdirSync(DIRECTORY, { recursive: true })
  const vectors = cases.map(([name, segment, records, bad]) => ({ name, segment: segment.toString('hex'), records, bad }))
  writeFileSync(file, `${JSON.stringify({ archive: ARCHIVE, vectors }, null, 1)}\n`)
}
