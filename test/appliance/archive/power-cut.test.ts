import test from 'ava'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { isFault } from '#protocol/fault.ts'
import { ID_BYTES, parseRecord } from '#protocol/record.ts'
import { append } from '../../../appliance/archive/append.ts'
import { type Archive, damage, openArchive, snapshots } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { missing } from '../../../appliance/archive/lookup.ts'
import { read } from '../../../appliance/archive/read.ts'
import { closeReading, openArchiveReading, recordsOf } from '../../../appliance/archive/reading.ts'
import { openStore } from '../../../appliance/archive/store.ts'
import { block, framed, joined, page, randomOf, recordsIn, seedOf, snapshot } from './records.ts'
import { createSimulatedDatabase } from './simulated-database.ts'
import { createSimulatedDisk } from './simulated-disk.ts'

const ARCHIVE = '00112233445566778899aabbccddeeff'
const HOME = '/home'
const RUNS = 2400
const BATCH_RUNS = 300

type Acknowledged = { readonly records: Map<string, Buffer>; readonly snapshots: Map<string, number> }

/** One life of an archive: several starts, each ended by a power cut or a kill at some operation, and a look after each. */
async function run(seed: number): Promise<void> {
  const random = randomOf(seed)
  const disk = createSimulatedDisk()
  const database = createSimulatedDatabase()
  await disk.makeDirectory('/store')
  await disk.syncDirectory('/')
  const acknowledged: Acknowledged = { records: new Map(), snapshots: new Map() }
  const segment_bytes = 1000 + Math.floor(random() * 6000)
  let time_ms = 1_700_000_000_000
  const open = async (): Promise<Archive> => {
    const store = await openStore(`/store${HOME}`, { disk, segment_bytes, reserve_bytes: 0, now: () => time_ms++, openDatabase: database.open })
    return openArchive(store, ARCHIVE, { create: true })
  }
  const starts = 2 + Math.floor(random() * 3)
  for (let start = 0; start < starts; start++) {
    // Sometimes it is cut off while it is still recovering from the last time.
    disk.stopAfter(Math.floor(random() * (random() < 0.3 ? 12 : 60)))
    if (random() < 0.15) disk.setFree(Math.floor(random() * 12_000))
    if (random() < 0.1) {
      disk.stopAfter(Infinity)
      disk.failFlush(true)
    }
    database.loseBatches(random() < 0.2 ? 0.3 : 0, random)
    try {
      await work(await open(), random, acknowledged, `${seed}.${start}`)
    } catch (error) {
      if (!isFault(error)) throw error
    }
    if (random() < 0.75) {
      disk.powerCut(random)
      database.goBack(random)
    } else disk.restart()
    database.loseBatches(0, random)
    disk.setFree(undefined)
    disk.failFlush(false)
    if (random() < 0.5) await check(await open(), acknowledged)
    if (random() < 0.3) disk.powerCut(random)
    else disk.restart()
  }
  await check(await open(), acknowledged)
  disk.powerCut(random)
  // And without any index at all, as `recover` reads it.
  const reading = await openArchiveReading(`/store${HOME}/archives/${ARCHIVE}`, { disk }).catch((error: unknown) => {
    if (isFault(error, 'ARCHIVE_UNKNOWN', 'STORE_UNREADABLE') && acknowledged.records.size === 0) return undefined
    throw error
  })
  if (!reading) return
  const found = new Set<string>()
  for await (const { header } of recordsOf(reading, {
    onDamage: range => (range.reason === 'torn' ? undefined : fail(`called damage: ${JSON.stringify(range)}`)),
  })) {
    found.add(header.id.toString('hex'))
  }
  for (const id of acknowledged.records.keys()) if (!found.has(id)) fail(`recover does not find ${id}`)
  await closeReading(reading)
}

const fail = (what: string): never => {
  throw new Error(what)
}

/** Several writers at once until the machine is off; notes what they were told. */
async function work(archive: Archive, random: () => number, acknowledged: Acknowledged, name: string): Promise<void> {
  const writers = 1 + Math.floor(random() * 3)
  const ended = await Promise.allSettled(
    Array.from({ length: writers }, (_, writer) => upload(archive, random, acknowledged, writer === 0 ? `${name}.s` : `${name}.${writer}`)),
  )
  for (const { reason } of ended.filter(one => one.status === 'rejected')) if (!isFault(reason)) throw reason
}

async function upload(archive: Archive, random: () => number, acknowledged: Acknowledged, name: string): Promise<void> {
  for (let turn = 0; turn < 12; turn++) {
    const blocks = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, i) => block(`${name}.${turn}.${i}`, Math.floor(random() * 900)))
    const pages = [
      page(
        `${name}.${turn}.page`,
        blocks.map(bytes => parseRecord(bytes).header.id),
      ),
    ]
    const known = [...acknowledged.records.values()]
    const again = known[Math.floor(random() * known.length)]
    const sent = [...blocks, ...pages, ...(again && random() < 0.3 && parseRecord(again).header.kind === 1 ? [again] : [])]
    await append(
      archive,
      sent.map(bytes => framed(bytes, Math.floor(random() * bytes.length))),
    )
    for (const bytes of sent) acknowledged.records.set(parseRecord(bytes).header.id.toString('hex'), bytes)
    if (!name.endsWith('.s') || random() < 0.4) continue
    const { head } = archive
    const bytes = snapshot(
      `${name}.${turn}.snapshot`,
      (head?.sequence ?? 0) + 1,
      head?.id,
      pages.map(one => parseRecord(one).header.id),
    )
    const committed = await commitSnapshot(archive, framed(bytes))
    acknowledged.snapshots.set(committed.snapshot, committed.received_ms)
    acknowledged.records.set(committed.snapshot, bytes)
  }
}

/** Everything that was acknowledged is there, byte for byte; every snapshot that is there is complete; nothing is called damaged. */
async function check(archive: Archive, acknowledged: Acknowledged): Promise<void> {
  if (damage(archive).length > 0) fail(`called damage: ${JSON.stringify(damage(archive))}`)
  const ids = [...acknowledged.records.keys()]
  const { chunks } = await read(archive, Buffer.from(ids.join(''), 'hex'))
  const found = recordsIn(await joined(chunks))
  for (const [id, bytes] of acknowledged.records) if (found.get(id)?.equals(bytes) !== true) fail(`lost ${id}`)
  const listed = await snapshots(archive)
  for (const [id, received_ms] of acknowledged.snapshots) {
    if (!listed.some(row => row.snapshot === id && row.received_ms === received_ms)) fail(`lost snapshot ${id}`)
  }
  if (listed.some((row, i) => row.sequence !== i + 1)) fail('the chain of snapshots has a gap')
  for (const { snapshot: id } of listed) await checkComplete(archive, Buffer.from(id, 'hex'))
}

async function checkComplete(archive: Archive, id: Buffer): Promise<void> {
  const one = async (of: Buffer): Promise<Buffer> => joined((await read(archive, of)).chunks)
  for (const pageId of parseSnapshotClear(parseRecord(await one(id)).clear).pages) {
    const { clear } = parseRecord(await one(pageId))
    await one(clear)
    const bitmap = await missing(archive, clear)
    if (bitmap.some(byte => byte !== 0) || clear.length % ID_BYTES !== 0) fail(`snapshot ${id.toString('hex')} is incomplete`)
  }
}

const FIRST_SEED = seedOf(1)
if (process.env['ONE'])
  test('one', async t => {
    await run(Number(process.env['ONE']))
    t.pass()
  })
else
  for (let from = 0; from < RUNS; from += BATCH_RUNS) {
    const first = FIRST_SEED + from
    test(`after power cuts and kills at any operation, each acknowledged record is there and each snapshot complete (seeds ${first} to ${first + BATCH_RUNS - 1})`, async t => {
      for (let seed = first; seed < first + BATCH_RUNS; seed++) {
        try {
          await run(seed)
        } catch (error) {
          t.fail(`HOLDFAST_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`)
          return
        }
      }
      t.pass()
    })
  }
