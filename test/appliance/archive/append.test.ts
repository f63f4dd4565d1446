import test from 'ava'
import { frameRecord, KIND, RECORD_HEADER_BYTES } from '#protocol/record.ts'
import { append } from '../../../appliance/archive/append.ts'
import { closeArchive, openArchive, state } from '../../../appliance/archive/archive.ts'
import { missing } from '../../../appliance/archive/lookup.ts'
import { read } from '../../../appliance/archive/read.ts'
import { closeStore } from '../../../appliance/archive/store.ts'
import { ARCHIVE, idOfRecord, idsOf, put, segmentFile, simulate } from './open.ts'
import { block, bytesOf, framed, joined, page, record, recordsIn, snapshot } from './records.ts'

test('records that were stored are read back byte for byte, in disk order, each once', async t => {
  const archive = await simulate().open()
  const records = ['a', 'b', 'c', 'd'].map(name => block(name, 3000))
  t.deepEqual(await put(archive, ...records), { stored: 4, known: 0 })
  const [a, b, c, d] = records as [Buffer, Buffer, Buffer, Buffer]
  const { bytes, chunks } = await read(archive, idsOf(d, a, c, b, a))
  const found = await joined(chunks)
  t.deepEqual(found, Buffer.concat(records))
  t.is(bytes, found.length)
})

test('many calls at the same time are written by one write and made durable by one flush', async t => {
  const count = { write: 0, datasync: 0 }
  const archive = await simulate({
    disk: disk => ({
      ...disk,
      open: async (path, mode) => {
        const file = await disk.open(path, mode)
        return {
          ...file,
          write: async (pieces, position) => {
            count.write++
            return file.write(pieces, position)
          },
          datasync: async () => {
            count.datasync++
            return file.datasync()
          },
        }
      },
    }),
  }).open()
  await put(archive, block('first'))
  const before = { ...count }
  await Promise.all(Array.from({ length: 64 }, (_, i) => put(archive, block(`shared ${i}`))))
  t.true(count.write - before.write <= 2, `${count.write - before.write} writes`)
  t.true(count.datasync - before.datasync <= 2, `${count.datasync - before.datasync} flushes`)
})

test('a record is found as soon as it is acknowledged, even if the index has not been written yet', async t => {
  const gate = Promise.withResolvers<void>()
  let isHeld = false
  const archive = await simulate({
    database: database => ({
      ...database,
      batch: async operations => {
        if (isHeld) await gate.promise
        return database.batch(operations)
      },
    }),
  }).open()
  isHeld = true
  const one = block('not yet indexed')
  t.deepEqual(await put(archive, one), { stored: 1, known: 0 })
  t.deepEqual([...(await missing(archive, idsOf(one, block('never stored'))))], [0b10])
  t.deepEqual(await joined((await read(archive, idsOf(one))).chunks), one)
  t.deepEqual(await put(archive, one), { stored: 0, known: 1 })
  t.like(await t.throwsAsync(put(archive, frameRecord(KIND.block, 1, idOfRecord(one), Buffer.alloc(0), bytesOf('other', 9)))), { code: 'RECORD_CONFLICT' })
  gate.resolve()
  await closeArchive(archive)
})

test('a record that is not durable yet counts as missing', async t => {
  const simulated = simulate()
  const archive = await simulated.open()
  await put(archive, block('first'))
  const storing = put(archive, block('second'))
  t.deepEqual([...(await missing(archive, idsOf(block('first'), block('second'))))], [0b10])
  await storing
  t.deepEqual([...(await missing(archive, idsOf(block('first'), block('second'))))], [0])
})

test('the same record sent again is known, not stored twice', async t => {
  const archive = await simulate().open()
  const one = block('one')
  t.deepEqual(await put(archive, one, one), { stored: 1, known: 1 })
  const [first, second] = await Promise.all([put(archive, block('two'), one), put(archive, block('two'))])
  t.is(first.stored + second.stored, 1)
  t.is(state(archive).records, 2)
})

test('an id with other content is refused, the stored record stays, and the rest of the call is stored', async t => {
  const archive = await simulate().open()
  const one = block('one')
  await put(archive, one)
  const other = frameRecord(KIND.block, 1, idOfRecord(one), Buffer.alloc(0), bytesOf('other', 50))
  const error = await t.throwsAsync(put(archive, block('before'), other, block('after')))
  t.like(error, { code: 'RECORD_CONFLICT', facts: { ids: [idOfRecord(one).toString('hex')] } })
  t.deepEqual([...(await missing(archive, idsOf(one, block('before'), block('after'))))], [0])
  t.deepEqual(await joined((await read(archive, idsOf(one))).chunks), one)
})

test('a stored record that was damaged is replaced when it is sent again, and the damage is named', async t => {
  const simulated = simulate()
  const one = block('one', 500)
  await put(await simulated.open(), block('before'), one, block('after'))
  const content = Buffer.from(simulated.disk.content(segmentFile(1)) as Buffer)
  const at = content.indexOf(one.subarray(RECORD_HEADER_BYTES + 100, RECORD_HEADER_BYTES + 140)) + 7
  content.writeUInt8(content.readUInt8(at) ^ 1, at)
  simulated.disk.setContent(segmentFile(1), content)
  const archive = await simulated.open()
  t.deepEqual(await put(archive, one), { stored: 1, known: 0 })
  t.is(archive.damage.find(({ id }) => id === idOfRecord(one).toString('hex'))?.reason, 'digest')
  t.deepEqual(recordsIn(await joined((await read(archive, idsOf(one))).chunks)).size, 1)
})

for (const [what, bytes] of [
  ['a snapshot', snapshot('s', 1, undefined, [])],
  ['a segment header', record(KIND.segmentHeader, 'h')],
  ['a segment mark', record(KIND.segmentMark, 'm')],
  ['a segment footer', record(KIND.segmentFooter, 'f')],
] as const) {
  test(`${what} is not appended like other records`, async t => {
    const archive = await simulate().open()
    t.like(await t.throwsAsync(put(archive, block('with it'), bytes)), { code: 'RECORD_INVALID' })
    t.is(state(archive).records, 0)
  })
}

test('pieces that do not add up to the record are refused', async t => {
  const archive = await simulate().open()
  const { header, pieces } = framed(block('one'))
  t.like(await t.throwsAsync(append(archive, [{ header, pieces: pieces.slice(1) }])), { code: 'RECORD_INVALID' })
})

test('an archive that goes on over many segments holds all of them, also for the next process', async t => {
  const simulated = simulate()
  const records = Array.from({ length: 60 }, (_, i) => (i % 10 === 9 ? page(`p${i}`, []) : block(`b${i}`, 700)))
  const archive = await simulated.open({ segment_bytes: 4000 })
  for (const one of records) await put(archive, one)
  const before = state(archive)
  t.true(before.segments > 10)
  t.is(
    before.bytes,
    Array.from({ length: before.segments }, (_, i) => simulated.disk.content(segmentFile(i + 1))?.length ?? 0).reduce((a, b) => a + b),
  )
  await closeStore(archive.store)
  const again = await simulated.open({ segment_bytes: 4000 })
  t.deepEqual(state(again), before)
  t.deepEqual(await joined((await read(again, idsOf(...records))).chunks), Buffer.concat(records))
})

test('opening an archive twice gives the same one; one that is not there is only made when asked to', async t => {
  const archive = await simulate().open()
  t.is(await openArchive(archive.store, ARCHIVE, { create: false }), archive)
  t.like(await t.throwsAsync(openArchive(archive.store, '0'.repeat(32), { create: false })), { code: 'ARCHIVE_UNKNOWN' })
  t.like(await t.throwsAsync(openArchive(archive.store, '../../../../../../../etc/passwd0123', { create: true })), { code: 'ARCHIVE_UNKNOWN' })
})

test('asking for a record that is not stored names it before the first byte', async t => {
  const archive = await simulate().open()
  await put(archive, block('one'))
  const error = await t.throwsAsync(read(archive, idsOf(block('one'), block('two'))))
  t.like(error, { code: 'RECORD_UNKNOWN', facts: { ids: [idOfRecord(block('two')).toString('hex')] } })
  t.like(await t.throwsAsync(read(archive, Buffer.alloc(33))), { code: 'RECORD_INVALID' })
  t.like(await t.throwsAsync(missing(archive, Buffer.alloc(31))), { code: 'RECORD_INVALID' })
})

test('records longer than one read of the disk come whole', async t => {
  const archive = await simulate().open()
  const records = [block('small'), block('large', 3_000_000), block('larger', 5_000_001), block('last', 10)]
  await put(archive, ...records)
  const { bytes, chunks } = await read(archive, idsOf(...records))
  const found = await joined(chunks)
  t.is(found.length, bytes)
  t.deepEqual(found, Buffer.concat(records))
})
