// Damage that was found once stays found: the record counts as missing, for this process and the next, until it is sent again.
import test from 'ava'
import { type Archive, state } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { missing } from '../../../appliance/archive/lookup.ts'
import { read } from '../../../appliance/archive/read.ts'
import { reindex } from '../../../appliance/archive/reindex.ts'
import { closeStore } from '../../../appliance/archive/store.ts'
import { ARCHIVE, idOfRecord, idsOf, put, type Simulated, segmentFile, simulate } from './open.ts'
import { block, framed, idOf, joined, page, snapshot } from './records.ts'

const one = block('one', 500)
const two = block('two', 500)
const onePage = page('page', [one, two].map(idOfRecord))
const first = snapshot('first', 1, undefined, [idOfRecord(onePage)])
const second = snapshot('second', 2, idOf('first'), [idOfRecord(onePage)])
const OPTIONS = { segment_bytes: 600 }

/** A committed snapshot over several segments, of which one byte of `victim` is flipped, `at` bytes from its start. */
async function withDamage(simulated: Simulated, victim: Buffer, at: number): Promise<void> {
  const archive = await simulated.open(OPTIONS)
  for (const record of [one, two, onePage]) await put(archive, record)
  await commitSnapshot(archive, framed(first))
  await put(archive, block('last'))
  await closeStore(archive.store)
  for (let segment = 1; segment <= state(archive).segments; segment++) {
    const content = Buffer.from(simulated.disk.content(segmentFile(segment)) ?? [])
    const start = content.indexOf(victim)
    if (start < 0) continue
    content.writeUInt8(content.readUInt8(start + at) ^ 4, start + at)
    simulated.disk.setContent(segmentFile(segment), content)
    return
  }
  throw new Error('the victim is not there')
}

const isMissing = async (archive: Archive, record: Buffer): Promise<boolean> => (await missing(archive, idsOf(record)))[0] === 1

for (const [what, victim, at] of [
  ['a block', two, 200],
  ['the header of a block', two, 60],
  ['a page', onePage, 170],
  ['the list of a page', onePage, 100],
] as const) {
  test(`${what} that was found damaged is missing for the next process too, and a snapshot that keeps its page is refused until it is sent again`, async t => {
    const simulated = simulate()
    await withDamage(simulated, victim, at)
    const archive = await simulated.open(OPTIONS)
    t.false(await isMissing(archive, victim), 'nobody has looked yet')
    await reindex(archive.store, ARCHIVE, { isThorough: true })
    t.true(await isMissing(archive, victim))
    await closeStore(archive.store)
    const next = await simulated.open(OPTIONS)
    t.true(await isMissing(next, victim))
    // Asking for a record that is not there has the index repaired from the segments: it must not come back thereby.
    t.like(await t.throwsAsync(read(next, idOf('nowhere'))), { code: 'RECORD_UNKNOWN' })
    t.true(await isMissing(next, victim))
    const id = idOfRecord(victim).toString('hex')
    t.like(await t.throwsAsync(commitSnapshot(next, framed(second))), { code: 'SNAPSHOT_INCOMPLETE', facts: { missing: [id] } })
    t.deepEqual(await put(next, victim), { stored: 1, known: 0 })
    t.like(await commitSnapshot(next, framed(second)), { sequence: 2 })
    await closeStore(next.store)
    const last = await simulated.open(OPTIONS)
    t.deepEqual(await joined((await read(last, idsOf(victim))).chunks), victim)
    // Reading all through again finds the damaged copy, and the intact one.
    await reindex(last.store, ARCHIVE, { isThorough: true })
    t.false(await isMissing(last, victim))
    t.deepEqual(await joined((await read(last, idsOf(victim))).chunks), victim)
  })
}

test('a record that is found damaged on reading is missing from then on', async t => {
  const simulated = simulate()
  await withDamage(simulated, two, 60)
  const archive = await simulated.open(OPTIONS)
  const { chunks } = await read(archive, idsOf(two))
  t.like(await t.throwsAsync(joined(chunks)), { code: 'ARCHIVE_DAMAGED', facts: { id: idOfRecord(two).toString('hex') } })
  t.true(await isMissing(archive, two))
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(second))), { code: 'SNAPSHOT_INCOMPLETE' })
  await put(archive, two)
  t.like(await commitSnapshot(archive, framed(second)), { sequence: 2 })
})

test('a page whose list is damaged is asked for itself, not the blocks that its damaged list names', async t => {
  const simulated = simulate()
  await withDamage(simulated, onePage, 100)
  const archive = await simulated.open(OPTIONS)
  const fresh = snapshot('fresh', 2, idOf('first'), [idOfRecord(onePage), idOfRecord(page('more', []))])
  await put(archive, page('more', []))
  // The page is one of the snapshot before: it is looked at only because damage is known.
  archive.isDamaged = true
  t.like(await t.throwsAsync(commitSnapshot(archive, framed(fresh))), {
    code: 'SNAPSHOT_INCOMPLETE',
    facts: { missing: [idOfRecord(onePage).toString('hex')] },
  })
  t.true(await isMissing(archive, onePage))
})

test('a damaged snapshot at the end of the archive does not change the number of the next one', async t => {
  const simulated = simulate()
  const archive = await simulated.open()
  await put(archive, one, two, onePage)
  await commitSnapshot(archive, framed(first))
  await closeStore(archive.store)
  const content = Buffer.from(simulated.disk.content(segmentFile(1)) ?? [])
  const sequence_at = content.indexOf(first) + 88
  content.writeUInt8(40, sequence_at)
  simulated.disk.setContent(segmentFile(1), content)
  t.is(state(await simulated.open()).head?.sequence, 1)
})
