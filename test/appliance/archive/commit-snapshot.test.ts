import test from 'ava'
import { KIND } from '#protocol/record.ts'
import { type Archive, snapshots, state } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { reindex } from '../../../appliance/archive/reindex.ts'
import { ARCHIVE, idOfRecord, idsOf, put, segmentFile, simulate } from './open.ts'
import { block, framed, idOf, page, record, snapshot } from './records.ts'

const blocks = [block('b1'), block('b2'), block('b3')]
const page1 = page('p1', blocks.slice(0, 2).map(idOfRecord))
const page2 = page('p2', blocks.slice(2).map(idOfRecord))
const first = snapshot('s1', 1, undefined, [page1, page2].map(idOfRecord))

async function withFirst(archive: Archive): Promise<void> {
  await put(archive, ...blocks, page1, page2)
  await commitSnapshot(archive, framed(first))
}

test('a snapshot of which everything is stored is committed, listed, and the head of the archive', async t => {
  const archive = await simulate().open()
  await put(archive, ...blocks, page1, page2)
  const committed = await commitSnapshot(archive, framed(first))
  t.like(committed, { snapshot: idOf('s1').toString('hex'), sequence: 1 })
  t.deepEqual(await snapshots(archive), [committed])
  t.deepEqual(state(archive).head, { snapshot: committed.snapshot, sequence: 1 })
})

for (const [what, stored, lost] of [
  ['a block of a page', [blocks[0], blocks[1], page1, page2], [blocks[2]]],
  ['a page', [...blocks, page1], [page2]],
  ['a page, and a block of another', [blocks[0], blocks[2], page1], [blocks[1], page2]],
] as const) {
  test(`a snapshot is refused when ${what} is missing, and nothing of it is stored`, async t => {
    const archive = await simulate().open()
    await put(archive, ...(stored as readonly Buffer[]))
    const error = await t.throwsAsync(commitSnapshot(archive, framed(first)))
    const missing = (lost as readonly Buffer[]).map(one => idOfRecord(one).toString('hex')).sort()
    t.like(error, { code: 'SNAPSHOT_INCOMPLETE', facts: { missing_count: missing.length } })
    t.deepEqual([...(error as unknown as { facts: { missing: string[] } }).facts.missing].sort(), missing)
    t.deepEqual(await snapshots(archive), [])
    await put(archive, ...(lost as readonly Buffer[]))
    t.like(await commitSnapshot(archive, framed(first)), { sequence: 1 })
  })
}

test('a block in the place of a page does not complete a snapshot', async t => {
  const archive = await simulate().open()
  await put(archive, blocks[0] as Buffer)
  const error = await t.throwsAsync(commitSnapshot(archive, framed(snapshot('s', 1, undefined, [idOfRecord(blocks[0] as Buffer)]))))
  t.like(error, { code: 'SNAPSHOT_INCOMPLETE' })
})

for (const [what, bytes] of [
  ['a sequence that was used', snapshot('x', 1, undefined, [])],
  ['a sequence left out', snapshot('x', 3, idOf('s1'), [])],
  ['another snapshot before it', snapshot('x', 2, idOf('other'), [])],
  ['none before it', snapshot('x', 2, undefined, [])],
] as const) {
  test(`a snapshot with ${what} is refused`, async t => {
    const archive = await simulate().open()
    await withFirst(archive)
    t.like(await t.throwsAsync(commitSnapshot(archive, framed(bytes))), { code: 'SNAPSHOT_OUT_OF_SEQUENCE' })
    t.is((await snapshots(archive)).length, 1)
  })
}

test('committing the same snapshot again, also an older one, answers what was answered first', async t => {
  const archive = await simulate().open()
  await put(archive, ...blocks, page1, page2)
  const committed = await commitSnapshot(archive, framed(first))
  await commitSnapshot(archive, framed(snapshot('s2', 2, idOf('s1'), [])))
  t.deepEqual(await commitSnapshot(archive, framed(first)), committed)
  t.is((await snapshots(archive)).length, 2)
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(snapshot('s1', 3, idOf('s2'), [])))), { code: 'RECORD_CONFLICT' })
})

test('of two snapshots that are committed at once as the same sequence, one is refused', async t => {
  const archive = await simulate().open()
  const results = await Promise.allSettled(['x', 'y'].map(name => commitSnapshot(archive, framed(snapshot(name, 1, undefined, [])))))
  t.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  t.is((await snapshots(archive)).length, 1)
})

test('pages of the snapshot before are not looked at again; new ones are', async t => {
  const archive = await simulate().open()
  await withFirst(archive)
  const page3 = page('p3', [idOf('nowhere')])
  await put(archive, page3)
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(snapshot('s2', 2, idOf('s1'), [page1, page3].map(idOfRecord))))), {
    code: 'SNAPSHOT_INCOMPLETE',
    facts: { missing: [idOf('nowhere').toString('hex')] },
  })
  t.like(await commitSnapshot(archive, framed(snapshot('s2', 2, idOf('s1'), [page2, page1].map(idOfRecord)))), { sequence: 2 })
})

test('only snapshots are committed', async t => {
  const archive = await simulate().open()
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(block('b')))), { code: 'RECORD_INVALID' })
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(record(KIND.snapshot, 'no clear part')))), { code: 'RECORD_INVALID' })
})

test('when a snapshot was received is known after reindexing, from a sealed segment and from an open one', async t => {
  const { open, database } = simulate()
  const archive = await open({ segment_bytes: 1500 })
  await withFirst(archive)
  for (let sequence = 2; sequence <= 8; sequence++) {
    await put(archive, block(`more ${sequence}`, 300))
    await commitSnapshot(archive, framed(snapshot(`s${sequence}`, sequence, idOf(`s${sequence - 1}`), [])))
  }
  const before = await snapshots(archive)
  t.is(new Set(before.map(({ received_ms }) => received_ms)).size, 8)
  await reindex(archive.store, ARCHIVE)
  t.deepEqual(await snapshots(archive), before)
  database.setState(new Map())
  t.deepEqual(await snapshots(await open({ segment_bytes: 1500 })), before)
})

test('a snapshot that the index has lost is found in the segments', async t => {
  const { open, database } = simulate()
  const archive = await open()
  await withFirst(archive)
  await commitSnapshot(archive, framed(snapshot('s2', 2, idOf('s1'), [])))
  const before = await snapshots(archive)
  const holed = new Map(database.state())
  for (const [key] of holed) if (key.length === 17 && key.endsWith('\x01')) holed.delete(key)
  t.is(holed.size, database.state().size - 1)
  database.setState(holed)
  t.deepEqual(await snapshots(await open()), before)
})

test('a snapshot whose page was damaged since is refused until the page is sent again', async t => {
  const { open, disk } = simulate()
  await put(await open(), ...blocks, page1, page2)
  const content = Buffer.from(disk.content(segmentFile(1)) as Buffer)
  const at = content.indexOf(idOfRecord(page1))
  content.writeUInt8(content.readUInt8(at) ^ 0x10, at)
  disk.setContent(segmentFile(1), content)
  const archive = await open()
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(first))), { code: 'SNAPSHOT_INCOMPLETE', facts: { missing: [idOfRecord(page1).toString('hex')] } })
  t.deepEqual(await put(archive, page1), { stored: 1, known: 0 })
  t.like(await commitSnapshot(archive, framed(first)), { sequence: 1 })
  t.is(idsOf(page1).length, 32)
})
