// What is written is read back as it was; any other bytes are refused, or say what would be written with the same bytes.
import test from 'ava'
import fc from 'fast-check'
import { isFault } from '#protocol/fault.ts'
import { frameRecord, ID_BYTES, KIND, type Kind, parseRecord, parseRecordHeader, RECORD_HEADER_BYTES } from '#protocol/record.ts'
import { type ArchiveRow, type Entry, find, openIndex, readRow, snapshotEntries, type Update, write } from '../../../appliance/archive/archive-index.ts'
import { createLocationMap } from '../../../appliance/archive/location-map.ts'
import { encodeFooter, type Footer, parseFooter } from '../../../appliance/archive/segment-footer.ts'
import {
  encodeMark,
  encodeSegmentHeader,
  type OwnPlace,
  parseMark,
  parseOwnId,
  parseSegmentHeader,
  segmentName,
  segmentNumber,
} from '../../../appliance/archive/segment-records.ts'
import { seedOf } from './records.ts'
import { createSimulatedDatabase } from './simulated-database.ts'

const SEED = seedOf(2026)
fc.configureGlobal({ seed: SEED, numRuns: 300 })

const bytes = (length: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength: length, maxLength: length }).map(array => Buffer.from(array))
const u32 = fc.nat(0xffff_ffff)
const time_ms = fc.nat(Number.MAX_SAFE_INTEGER)
const place: fc.Arbitrary<OwnPlace> = fc.record({ archive: bytes(16), segment: u32, offset: u32, nonce: bytes(8) })
const rowOffset = fc.nat(1 << 20)

/** Rows behind one another, with gaps, and a footer behind them. */
const footer: fc.Arbitrary<Footer> = fc
  .record({
    place,
    gaps: fc.array(fc.record({ id: bytes(ID_BYTES), kind: fc.constantFrom<Kind>(KIND.block, KIND.page, KIND.snapshot), gap: fc.nat(500), more: rowOffset }), {
      maxLength: 20,
    }),
    sequences: fc.array(fc.record({ sequence: time_ms, received_ms: time_ms }), { maxLength: 20 }),
    torn: fc.array(fc.record({ offset: u32, length: u32 }), { maxLength: 3 }),
  })
  .map(({ place: own, gaps, sequences, torn }) => {
    let at = 0
    const records = gaps.map(({ id, kind, gap, more }) => {
      const offset = at + gap
      const length = RECORD_HEADER_BYTES + more
      at = offset + length
      return { id, kind, offset, length }
    })
    const rows = records.flatMap(({ kind }, row) => (kind === KIND.snapshot ? [row] : []))
    const snapshots = sequences.slice(0, rows.length).map((one, i) => ({ row: rows[i] as number, ...one }))
    return { place: { ...own, offset: Math.max(own.offset, at) }, records, snapshots, torn }
  })

const header = (record: Buffer): { header: ReturnType<typeof parseRecord>['header']; clear: Buffer } => parseRecord(record)

test('a segment header says what was written', t => {
  fc.assert(
    fc.property(place, time_ms, (own, created_ms) => {
      const record = header(encodeSegmentHeader(own, created_ms))
      t.deepEqual(parseOwnId(record.header.id), own)
      t.is(parseSegmentHeader(record.header, record.clear), created_ms)
    }),
  )
  t.pass()
})

test('a mark says what was written, unless it claims more than stands before it', t => {
  fc.assert(
    fc.property(place, time_ms, u32, (own, received_ms, durable_bytes) => {
      const record = header(encodeMark(own, { received_ms, durable_bytes }))
      t.deepEqual(parseOwnId(record.header.id), own)
      t.deepEqual(parseMark(record.header, record.clear), durable_bytes > own.offset ? undefined : { received_ms, durable_bytes })
    }),
  )
})

test('a footer says what was written', t => {
  fc.assert(fc.property(footer, written => t.deepEqual(parseFooter(parseRecord(encodeFooter(written))), written)))
})

/** A well-formed record of this kind with other content: nearly what was written, or anything. */
const otherClear = (good: Buffer): fc.Arbitrary<Buffer> =>
  fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map(array => Buffer.from(array)),
    fc.array(fc.tuple(fc.nat(Math.max(0, good.length - 1)), fc.nat(255)), { minLength: 1, maxLength: 3 }).map(changes => {
      const copy = Buffer.from(good)
      for (const [at, value] of changes) copy[at] = value
      return copy
    }),
    fc.nat(good.length).map(length => good.subarray(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 30 }).map(more => Buffer.concat([good, more])),
  )

test('a segment header or mark with any other clear part is refused, or says what would be written so', t => {
  const good = fc.oneof(bytes(8), bytes(12)).chain(otherClear)
  fc.assert(
    fc.property(place, good, (own, clear) => {
      const id = header(encodeSegmentHeader(own, 0)).header.id
      const asHeader = frameRecord(KIND.segmentHeader, 0, id, clear, Buffer.alloc(0))
      const created_ms = parseSegmentHeader(header(asHeader).header, clear)
      if (created_ms !== undefined) t.deepEqual(encodeSegmentHeader(own, created_ms), asHeader)
      const asMark = frameRecord(KIND.segmentMark, 0, id, clear, Buffer.alloc(0))
      const mark = parseMark(header(asMark).header, clear)
      if (mark) t.deepEqual(encodeMark(own, mark), asMark)
      // And none is taken for the other.
      t.is(parseMark(header(asHeader).header, clear), undefined)
      t.is(parseSegmentHeader(header(asMark).header, clear), undefined)
    }),
  )
})

test('a footer with any other clear part is refused, or says what would be written so', t => {
  const other = footer.chain(written => {
    const good = parseRecord(encodeFooter(written))
    return fc.record({ id: fc.constant(good.header.id), clear: otherClear(good.clear), sealed: fc.constantFrom(0, 0, 0, 8) })
  })
  fc.assert(
    fc.property(other, ({ id, clear, sealed }) => {
      const record = frameRecord(KIND.segmentFooter, 0, id, clear, clear.subarray(clear.length - Math.min(sealed, clear.length)))
      const read = parseFooter(parseRecord(record))
      if (read) t.deepEqual(encodeFooter(read), record)
    }),
    { numRuns: 2000 },
  )
  t.pass()
})

test('any changed byte of the archive’s own records is noticed', t => {
  const records = fc.oneof(
    fc.tuple(place, time_ms).map(([own, created_ms]) => encodeSegmentHeader(own, created_ms)),
    place.map(own => encodeMark(own, { received_ms: 1, durable_bytes: 0 })),
    footer.map(encodeFooter),
  )
  fc.assert(
    fc.property(records, fc.nat(), fc.integer({ min: 1, max: 255 }), (record, where, mask) => {
      const at = where % record.length
      const copy = Buffer.from(record)
      copy.writeUInt8(copy.readUInt8(at) ^ mask, at)
      try {
        parseRecord(copy)
        t.fail(`byte ${at}`)
      } catch (error) {
        t.true(isFault(error))
        t.is(typeof parseRecordHeader(copy) === 'string', at < RECORD_HEADER_BYTES)
      }
    }),
  )
})

test('the name of a segment gives its number, and no other name gives one', t => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 0xffff_ffff }), number => t.is(segmentNumber(segmentName(number)), number)))
  const names = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom(...Array.from('0123456789')), maxLength: 12 }).map(digits => `${digits}.segment`),
    fc.constantFrom('00000000.segment', '000000001.segment', '00000001.segment.new', '00000001.SEGMENT', '4294967296.segment', ' 0000001.segment'),
  )
  fc.assert(
    fc.property(names, name => {
      const number = segmentNumber(name)
      if (number !== undefined) t.is(segmentName(number), name)
    }),
  )
})

const entry: fc.Arbitrary<Entry> = fc.record({ id: bytes(ID_BYTES), segment: u32, offset: u32, length: fc.integer({ min: 1, max: 0xffff_ffff }) })
const row: fc.Arbitrary<ArchiveRow> = fc.record({
  ordinal: fc.integer({ min: 1, max: 0xf000_0000 }),
  segment: u32,
  offset: u32,
  anchor: fc.record({ offset: u32, crc: u32 }),
  records: time_ms,
  bytes: time_ms,
  head: fc.option(fc.record({ id: bytes(ID_BYTES), sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) }), { nil: undefined }),
  isDamaged: fc.boolean(),
})
const update: fc.Arbitrary<Update> = fc.record({
  archive: bytes(16),
  row,
  entries: fc.uniqueArray(entry, { maxLength: 8, selector: ({ id }) => id.toString('hex') }),
  snapshots: fc.uniqueArray(fc.record({ id: bytes(ID_BYTES), sequence: time_ms, received_ms: time_ms }), {
    maxLength: 4,
    selector: ({ sequence }) => sequence,
  }),
})
const idsOf = (entries: readonly Entry[]): Buffer => Buffer.concat(entries.map(({ id }) => id))

async function readAll(index: Awaited<ReturnType<typeof openIndex>>, { archive, row: { ordinal }, entries }: Update): Promise<unknown[]> {
  const snapshots = []
  for await (const one of snapshotEntries(index, archive, ordinal)) snapshots.push(one)
  return [await readRow(index, archive), await find(index, archive, ordinal, idsOf(entries)), snapshots]
}

test('rows of the index say what was written, and none of another archive or ordinal is found', async t => {
  await fc.assert(
    fc.asyncProperty(update, bytes(16), async (written, other) => {
      const index = await openIndex(await createSimulatedDatabase().open())
      await write(index, written)
      const locations = written.entries.map(({ segment, offset, length }) => ({ segment, offset, length }))
      const snapshots = [...written.snapshots].sort((a, b) => a.sequence - b.sequence)
      t.deepEqual(await readAll(index, written), [written.row, locations, snapshots])
      if (other.equals(written.archive)) return
      const nothing = written.entries.map(() => undefined)
      t.deepEqual(await readAll(index, { ...written, archive: other }), [undefined, nothing, []])
      const ordinal = (written.row.ordinal ^ 1) >>> 0
      t.deepEqual(await find(index, written.archive, ordinal, idsOf(written.entries)), nothing)
    }),
    { numRuns: 150 },
  )
})

test('any changed byte of a row of the index, in its key or value, makes it absent, and no other row', async t => {
  await fc.assert(
    fc.asyncProperty(update, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), async (written, which, where, mask) => {
      const database = createSimulatedDatabase()
      const index = await openIndex(await database.open())
      await write(index, written)
      const [whole, locations, snapshots] = (await readAll(index, written)) as [ArchiveRow, object[], { sequence: number }[]]
      const rows = [...database.state()]
      const [key, value] = rows[which % rows.length] as [string, Buffer]
      const both = Buffer.concat([Buffer.from(key, 'latin1'), value])
      const at = where % both.length
      both.writeUInt8(both.readUInt8(at) ^ mask, at)
      const state = new Map(database.state())
      state.delete(key)
      state.set(both.subarray(0, key.length).toString('latin1'), both.subarray(key.length))
      database.setState(state)
      const read = (await readAll(index, written)) as [ArchiveRow | undefined, (object | undefined)[], { sequence: number }[]]
      let lost = 0
      if (read[0] === undefined) lost++
      else t.deepEqual(read[0], whole)
      read[1].forEach((location, i) => (location === undefined ? lost++ : t.deepEqual(location, locations[i])))
      const listed = new Set(snapshots.map(one => JSON.stringify(one)))
      for (const one of read[2]) t.true(listed.has(JSON.stringify(one)))
      lost += snapshots.length - read[2].length
      t.is(lost, 1)
    }),
    { numRuns: 300 },
  )
})

test('a location map finds what was added last under an id, and nothing else', t => {
  const ids = fc.array(bytes(ID_BYTES), { minLength: 1, maxLength: 40 })
  const added = ids.chain(known =>
    fc.array(fc.tuple(fc.constantFrom(...known), fc.record({ segment: fc.integer({ min: 1, max: 0xffff_ffff }), offset: u32, length: u32 })), {
      maxLength: 300,
    }),
  )
  fc.assert(
    fc.property(added, ids, (pairs, others) => {
      const map = createLocationMap()
      const model = new Map<string, object>()
      for (const [id, location] of pairs) {
        map.add(id, location)
        model.set(id.toString('hex'), location)
      }
      t.is(map.count, model.size)
      for (const id of [...pairs.map(([one]) => one), ...others]) t.deepEqual(map.find(id), model.get(id.toString('hex')) as ReturnType<typeof map.find>)
    }),
    { numRuns: 100 },
  )
})

test('a location map of many records, whose ids are alike, holds them all', t => {
  const map = createLocationMap()
  const idOf = (n: number): Buffer => {
    const id = Buffer.alloc(ID_BYTES)
    // The same low bits in many: they go into neighbouring slots.
    id.writeUInt32LE(n % 1000, 0)
    id.writeUInt32LE(n, 4)
    return id
  }
  const COUNT = 20_000
  for (let n = 0; n < COUNT; n++) map.add(idOf(n), { segment: n + 1, offset: n * 2, length: n * 3 })
  t.is(map.count, COUNT)
  for (let n = 0; n < COUNT; n++) if (map.find(idOf(n))?.segment !== n + 1) t.fail(`${n}`)
  t.is(map.find(idOf(COUNT + 1)), undefined)
})
