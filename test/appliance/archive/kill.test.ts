// A process that stores records on the real disk, with a real index, is killed again and again.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { parseRecord } from '#protocol/record.ts'
import { type Archive, damage, openArchive, snapshots } from '../../../appliance/archive/archive.ts'
import { read } from '../../../appliance/archive/read.ts'
import { closeStore } from '../../../appliance/archive/store.ts'
import { ARCHIVE, openReal, temporary } from './open.ts'
import { joined, randomOf, recordsIn, seedOf } from './records.ts'

const CHILD = join(import.meta.dirname, 'kill-child.ts')
const KILLS = 14
const SEED = seedOf(Date.now() % 1_000_000)

type Line = {
  readonly opening?: true
  readonly id?: string
  readonly sha256?: string
  readonly snapshot?: string
  readonly sequence?: number
  readonly received_ms?: number
}
type Acknowledged = { readonly records: Map<string, string>; readonly snapshots: Map<string, { sequence: number; received_ms: number }> }

/** Runs the child until it has said so many lines, and kills it; notes what it acknowledged. */
async function runAndKill(home: string, seed: number, lines: number, { records, snapshots: committed }: Acknowledged): Promise<void> {
  const child = spawn(process.execPath, [CHILD, home, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  let said = 0
  for await (const text of createInterface(child.stdout)) {
    if (++said >= lines) child.kill('SIGKILL')
    const line = parseLine(text)
    if (line?.id !== undefined && line.sha256 !== undefined) records.set(line.id, line.sha256)
    if (line?.snapshot !== undefined) committed.set(line.snapshot, { sequence: line.sequence ?? 0, received_ms: line.received_ms ?? 0 })
  }
  const [, signal] = (await ended) as [number | null, string | null]
  if (signal !== 'SIGKILL') throw new Error('the child ended by itself')
}

/** The last line may have been cut by the kill: then nobody was told. */
function parseLine(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line
  } catch {
    return undefined
  }
}

async function check(archive: Archive, acknowledged: Acknowledged): Promise<void> {
  if (damage(archive).length > 0) throw new Error(`called damaged: ${JSON.stringify(damage(archive))}`)
  const readAll = async (ids: Iterable<string>): Promise<Map<string, Buffer>> =>
    recordsIn(await joined((await read(archive, Buffer.from([...ids].join(''), 'hex'))).chunks))
  const found = await readAll(acknowledged.records.keys())
  for (const [id, sha256] of acknowledged.records) {
    const bytes = found.get(id)
    if (!bytes || createHash('sha256').update(bytes).digest('hex') !== sha256) throw new Error(`lost or altered: ${id}`)
  }
  const listed = await snapshots(archive)
  for (const [id, { sequence, received_ms }] of acknowledged.snapshots) {
    if (!listed.some(row => row.snapshot === id && row.sequence === sequence && row.received_ms === received_ms)) throw new Error(`lost snapshot ${id}`)
  }
  if (listed.some((row, i) => row.sequence !== i + 1)) throw new Error('the chain of snapshots has a gap')
  // Everything that a snapshot needs can be read, be it acknowledged or not.
  for (const one of (await readAll(listed.map(row => row.snapshot))).values()) {
    const pages = await readAll(parseSnapshotClear(parseRecord(one).clear).pages.map(id => id.toString('hex')))
    for (const needed of pages.values()) await joined((await read(archive, parseRecord(needed).clear)).chunks)
  }
}

test(`a process killed ${KILLS} times at any moment loses no record and no snapshot that it acknowledged (seed ${SEED})`, async t => {
  const home = join(await temporary(t), 'store')
  const random = randomOf(SEED)
  const acknowledged: Acknowledged = { records: new Map(), snapshots: new Map() }
  for (let kill = 0; kill < KILLS; kill++) {
    // Now and then while it is still opening.
    const lines = random() < 0.2 ? 1 : 1 + Math.floor(random() * 500)
    await runAndKill(home, SEED + kill, lines, acknowledged)
    if (random() < 0.5) continue
    const store = await openReal(home, { segment_bytes: 50_000 })
    await t.notThrowsAsync(async () => check(await openArchive(store, ARCHIVE, { create: true }), acknowledged), `after kill ${kill + 1}`)
    await closeStore(store)
  }
  const store = await openReal(home)
  await t.notThrowsAsync(async () => check(await openArchive(store, ARCHIVE, { create: false }), acknowledged))
  await closeStore(store)
  t.true(acknowledged.records.size > 500 && acknowledged.snapshots.size > 20, `${acknowledged.records.size} records, ${acknowledged.snapshots.size} snapshots`)
  t.log(`${acknowledged.records.size} records, ${acknowledged.snapshots.size} snapshots`)
})
