// The bytes in FORMAT-archive.md are what the engine writes, and each vector is read as the document says.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { KIND, parseRecord } from '#protocol/record.ts'
import { append } from '../../../appliance/archive/append.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { ARCHIVE_ERRORS } from '../../../appliance/archive/errors.ts'
import { encodeSegmentHeader, parseOwnId } from '../../../appliance/archive/segment-records.ts'
import { closeStore } from '../../../appliance/archive/store.ts'
import { segmentFile, simulate, temporary } from './open.ts'
import { block, framed } from './records.ts'
import { listDirectory, type SegmentVector, VECTORS } from './vectors.ts'

const DOCUMENT = await readFile(join(import.meta.dirname, '../../../appliance/archive/FORMAT-archive.md'), 'utf8')
const segmentOf = (vector: SegmentVector | undefined): Buffer => Buffer.from(vector?.segment ?? '', 'hex')
const [whole, unsealed, ...changed] = VECTORS.vectors
const [first, second] = whole?.records ?? []
const recordOf = (at: { offset: number; length: number } | undefined): Buffer =>
  segmentOf(whole).subarray(at?.offset ?? 0, (at?.offset ?? 0) + (at?.length ?? 0))

test('the worked bytes of FORMAT-archive.md are a whole segment, that of the vectors', t => {
  const shown = /^```bytes\n([^`]*)```/m.exec(DOCUMENT)?.[1] ?? ''
  const hex = shown
    .split('\n')
    .filter(line => !line.startsWith('#'))
    .map(line => (line.split(/ {2}/)[0] ?? '').replaceAll(' ', ''))
    .join('')
  t.is(hex, whole?.segment)
})

test('the record in the worked bytes is the one that FORMAT.md shows', async t => {
  const vectors = JSON.parse(await readFile(join(import.meta.dirname, '../../agent/format/vectors/records.json'), 'utf8')) as { good: { record: string }[] }
  t.is(recordOf(first).toString('hex'), vectors.good[0]?.record)
})

test('the engine writes the worked bytes, from the first record to the footer', async t => {
  const { disk, open } = simulate()
  const received_ms = (first?.received_ms ?? 0) - 1
  const archive = await open()
  // The nonce is drawn at random: so the segment begins with that of the vectors, as far as its first group reaches.
  const bytes = segmentOf(whole)
  const before = bytes.subarray(0, (first?.offset ?? 0) + (first?.length ?? 0))
  disk.setContent(segmentFile(1), before)
  await closeStore(archive.store)
  const again = await open({ now: () => second?.received_ms ?? 0 })
  await commitSnapshot(again, framed(recordOf(second)))
  t.deepEqual(disk.content(segmentFile(1)), segmentOf(unsealed))
  await closeStore(again.store)
  const full = await open({ segment_bytes: 1 })
  await append(full, [framed(block('in the next segment'))])
  t.deepEqual(disk.content(segmentFile(1)), bytes)
  t.deepEqual(encodeSegmentHeader(parseOwnId(parseRecord(bytes).header.id), received_ms + 1), bytes.subarray(0, 96))
})

test('a segment that the engine begins has the header, the mark and the record of the worked bytes, but for the nonce', async t => {
  const { disk, open } = simulate()
  const archive = await open({ now: () => first?.received_ms ?? 0 })
  await append(archive, [framed(recordOf(first))])
  const written = Buffer.from(disk.content(segmentFile(1)) ?? [])
  const nonce = written.subarray(20 + 24, 20 + 32)
  t.deepEqual(nonce, written.subarray(96 + 20 + 24, 96 + 20 + 32))
  const expected = segmentOf(whole)
  t.is(parseRecord(written).header.kind, KIND.segmentHeader)
  for (const at of [0, 96]) {
    t.deepEqual(written.subarray(at, at + 44), expected.subarray(at, at + 44))
    t.deepEqual(written.subarray(at + 52, at + 84), expected.subarray(at + 52, at + 84))
  }
  t.deepEqual(written.subarray(88, 96), expected.subarray(88, 96))
  t.deepEqual(written.subarray(96 + 88), expected.subarray(96 + 88, written.length))
})

for (const { name, segment, records, bad } of VECTORS.vectors) {
  test(`a reader finds in the worked bytes what FORMAT-archive.md says: ${name}`, async t => {
    const dir = join(await temporary(t), VECTORS.archive)
    await mkdir(dir)
    await writeFile(join(dir, '00000001.segment'), Buffer.from(segment, 'hex'))
    const listed = await listDirectory(dir)
    t.deepEqual(
      listed.records.map(({ kind, offset, length, received_ms }) => ({ kind, offset, length, received_ms })),
      [...records],
    )
    t.deepEqual(
      listed.bad,
      bad.map(range => ({ segment: 1, ...range })),
    )
  })
}

test('FORMAT-archive.md names every vector that was changed, and what is read from it', t => {
  const rows = [...DOCUMENT.matchAll(/^\| ([^|]+) \| ([^|]+) \|$/gm)].map(([, name = '', says = '']) => [name.trim(), says.trim()] as const)
  const told = new Map(rows)
  for (const { name, records, bad } of changed) t.is(told.get(name), say(records, bad), name)
})

function say(records: SegmentVector['records'], bad: SegmentVector['bad']): string {
  const good =
    records.length === 0
      ? 'no record'
      : `intact: ${records.map(({ kind, offset }) => `${kind === KIND.snapshot ? 'snapshot' : 'block'} at ${offset}`).join(', ')}`
  return [good, ...bad.map(({ offset, length, torn }) => `${torn ? 'torn' : 'damaged'}: ${offset} to ${offset + length - 1}`)].join('; ')
}

test('FORMAT-archive.md has a row for every error of opening a store, and no other', t => {
  const rows = [...DOCUMENT.matchAll(/^\| ([A-Z_]{5,}) \|/gm)].map(match => match[1] ?? '')
  t.deepEqual(rows.sort(), Object.keys(ARCHIVE_ERRORS).sort())
})
