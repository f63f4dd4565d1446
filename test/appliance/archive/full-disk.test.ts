import test from 'ava'
import { closeArchive, openArchive, snapshots, state } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { missing } from '../../../appliance/archive/lookup.ts'
import { read } from '../../../appliance/archive/read.ts'
import { ARCHIVE, idsOf, put, segmentFile, simulate } from './open.ts'
import { block, framed, joined, snapshot } from './records.ts'

test('uploads never use the reserve of the volume, and restores go on', async t => {
  const { disk, open } = simulate()
  disk.setFree(10_000)
  const archive = await open({ reserve_bytes: 5_000 })
  await put(archive, block('fits', 3_000))
  const before = disk.content(segmentFile(1))
  t.like(await t.throwsAsync(put(archive, block('does not fit', 3_000))), { code: 'ARCHIVE_FULL' })
  t.like(
    await t.throwsAsync(
      commitSnapshot(
        archive,
        framed(
          snapshot(
            's',
            1,
            undefined,
            Array.from({ length: 100 }, (_, i) => idsOf(block(`${i}`))),
          ),
        ),
      ),
    ),
    { code: 'SNAPSHOT_INCOMPLETE' },
  )
  t.deepEqual(disk.content(segmentFile(1)), before)
  t.deepEqual(await joined((await read(archive, idsOf(block('fits', 3_000)))).chunks), block('fits', 3_000))
  disk.setFree(100_000)
  t.deepEqual(await put(archive, block('does not fit', 3_000)), { stored: 1, known: 0 })
})

for (const room of [0, 1, 95, 96, 150, 300, 500, 900]) {
  test(`a disk that runs full in the middle of a write (${room} bytes are left) loses and half-does nothing`, async t => {
    const { disk, open } = simulate()
    const archive = await open({ segment_bytes: 2_000 })
    for (let i = 0; i < 3; i++) await put(archive, block(`before ${i}`, 500))
    const before = state(archive)
    disk.setFree(room)
    const results = await Promise.allSettled([put(archive, block('one', 800)), put(archive, block('two', 900)), put(archive, block('three', 900))])
    for (const result of results) if (result.status === 'rejected') t.like(result.reason, { code: 'ARCHIVE_FULL' })
    t.true(results.some(({ status }) => status === 'rejected'))
    t.deepEqual(await joined((await read(archive, idsOf(block('before 0', 500)))).chunks), block('before 0', 500))
    disk.setFree(undefined)
    await put(archive, block('one', 800), block('two', 900), block('three', 900))
    const again = await open({ segment_bytes: 2_000 })
    t.deepEqual(again.damage, [])
    t.is(state(again).records, before.records + 3)
    t.deepEqual([...(await missing(again, idsOf(block('before 1', 500), block('one', 800), block('two', 900), block('three', 900))))], [0])
  })
}

test('a snapshot that does not fit is not committed, and is committed when there is room again', async t => {
  const { disk, open } = simulate()
  const archive = await open()
  await put(archive, block('b'))
  disk.setFree(20)
  const bytes = snapshot('s', 1, undefined, [])
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(bytes))), { code: 'ARCHIVE_FULL' })
  t.is(state(archive).head, null)
  t.deepEqual(await snapshots(archive), [])
  disk.setFree(undefined)
  t.like(await commitSnapshot(archive, framed(bytes)), { sequence: 1 })
})

test('after a flush that failed nothing more is written until the archive is opened again; reading goes on', async t => {
  const { disk, open } = simulate()
  const archive = await open()
  const kept = block('kept', 300)
  await put(archive, kept)
  disk.failFlush(true)
  t.like(await t.throwsAsync(put(archive, block('lost', 300))), { code: 'ARCHIVE_FAILED' })
  t.like(await t.throwsAsync(put(archive, block('refused', 300))), { code: 'ARCHIVE_FAILED' })
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(snapshot('s', 1, undefined, [])))), { code: 'ARCHIVE_FAILED' })
  t.deepEqual(await joined((await read(archive, idsOf(kept))).chunks), kept)
  t.deepEqual([...(await missing(archive, idsOf(kept, block('lost', 300))))], [0b10])
  await closeArchive(archive)
  const again = await openArchive(archive.store, ARCHIVE, { create: false })
  t.deepEqual(await put(again, block('lost', 300)), { stored: 1, known: 0 })
  disk.powerCut(() => 0.99)
  t.deepEqual([...(await missing(await open(), idsOf(kept, block('lost', 300))))], [0])
})

test('a failing index stops uploads, not restores, and loses nothing', async t => {
  const { disk, database, open } = simulate()
  const archive = await open()
  await put(archive, block('before'))
  database.failBatches(true)
  await put(archive, block('durable, not indexed'))
  await archive.writer.indexed.catch(() => undefined)
  t.like(await t.throwsAsync(put(archive, block('after'))), { code: 'ARCHIVE_FAILED' })
  t.deepEqual([...(await missing(archive, idsOf(block('before'), block('durable, not indexed'))))], [0])
  database.failBatches(false)
  disk.powerCut(() => 0.5)
  const again = await open()
  t.deepEqual([...(await missing(again, idsOf(block('before'), block('durable, not indexed'))))], [0])
  t.deepEqual(await put(again, block('after')), { stored: 1, known: 0 })
})

test('a full disk does not keep an archive from being opened and read', async t => {
  const { disk, open } = simulate()
  const archive = await open()
  const records = [block('one', 600), block('two', 600), block('three', 600)]
  await put(archive, records[0] as Buffer)
  const durable_bytes = disk.content(segmentFile(1))?.length ?? 0
  // A group of which the first record is torn, and the others are whole: it must be sealed, and there is no room.
  await put(archive, ...records.slice(1))
  const content = Buffer.from(disk.content(segmentFile(1)) as Buffer)
  content.fill(0, durable_bytes + 120, durable_bytes + 200)
  disk.setContent(segmentFile(1), content)
  disk.setFree(0)
  const again = await open({ openDatabase: simulate().database.open })
  t.deepEqual([...(await missing(again, idsOf(...records)))], [0b10])
  t.deepEqual(
    await joined((await read(again, idsOf(records[0] as Buffer, records[2] as Buffer))).chunks),
    Buffer.concat([records[0] as Buffer, records[2] as Buffer]),
  )
  t.like(await t.throwsAsync(put(again, block('four'))), { code: 'ARCHIVE_FULL' })
})
