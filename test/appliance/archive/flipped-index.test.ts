// Any single flipped byte of the index's own files, real LevelDB on the real disk: the segments have the last word.
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { isFault } from '#protocol/fault.ts'
import { parseRecord } from '#protocol/record.ts'
import { type Archive, damage, openArchive, snapshots, state } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { missing } from '../../../appliance/archive/lookup.ts'
import { closeStore } from '../../../appliance/archive/store.ts'
import { makeArchive, optionsOf, type Shape } from './archive-for-tests.ts'
import { checkRecords, type Truth, truthOf } from './flips.ts'
import { ARCHIVE, idOfRecord, openReal, put, temporary } from './open.ts'
import { block, framed, page, randomOf, seedOf, snapshot } from './records.ts'

const SHAPE: Shape = { backups: 6, blocks: 6, block_bytes_max: 200, segment_bytes: 3000 }
const RUNS = 70
const SEED = seedOf(11)

async function open(home: string): Promise<Archive> {
  return openArchive(await openReal(home, optionsOf(SHAPE)), ARCHIVE, { create: false })
}

/** A backup that needs what was there before goes through; at worst some records are asked for once more. */
async function backUpAgain(archive: Archive, truth: Truth): Promise<void> {
  const ids = [...truth.records.keys()]
  await put(archive, ...[...truth.records.values()].filter(bytes => parseRecord(bytes).header.kind === 1))
  const head = state(archive).head
  if (!head) throw new Error('there is no head')
  const old = parseSnapshotClear(parseRecord(truth.records.get(head.snapshot) ?? Buffer.alloc(0)).clear).pages
  const blocks = ids.filter(id => parseRecord(truth.records.get(id) ?? Buffer.alloc(0)).header.kind === 1)
  const fresh = page(
    'again page',
    blocks.map(id => Buffer.from(id, 'hex')),
  )
  await put(archive, block('new'), fresh)
  const next = snapshot('again', head.sequence + 1, Buffer.from(head.snapshot, 'hex'), [...old, idOfRecord(fresh)])
  await commitSnapshot(archive, framed(next))
  const bitmap = await missing(archive, Buffer.from(ids.join(''), 'hex'))
  if (bitmap.some(byte => byte !== 0)) throw new Error('something is missing')
}

async function tryIndexFlip(t: ExecutionContext, from: string, home: string, truth: Truth, file: string, random: () => number): Promise<boolean> {
  cpSync(from, home, { recursive: true })
  const path = join(home, 'index', file)
  const content = readFileSync(path)
  const offset = Math.floor(random() * content.length)
  const mask = 1 << Math.floor(random() * 8)
  content.writeUInt8(content.readUInt8(offset) ^ mask, offset)
  writeFileSync(path, content)
  const what = `${file} at ${offset} of ${content.length}, mask ${mask}`
  try {
    // LevelDB may find a damaged file only while it is in use: then it says so, and the next process makes the index again.
    const isLoud = await useOnce(home, truth)
    if (isLoud) t.false(await useOnce(home, truth), `${what}: fails again`)
    t.false(await useOnce(home, truth), `${what}: fails later`)
    return isLoud
  } catch (error) {
    t.fail(`${what}: ${error instanceof Error ? error.stack : String(error)}`)
    return false
  } finally {
    rmSync(home, { recursive: true })
  }
}

/** Opens the store, looks at everything, and backs up; returns whether it was told that the index cannot be read. */
async function useOnce(home: string, truth: Truth): Promise<boolean> {
  const store = await openReal(home, optionsOf(SHAPE))
  try {
    const archive = await openArchive(store, ARCHIVE, { create: false })
    await missing(archive, Buffer.from([...truth.records.keys()].join(''), 'hex'))
    const { head } = archive
    const later = (await snapshots(archive)).filter(({ sequence }) => sequence > truth.snapshots.length)
    if (later.length > 1 || (later[0] && later[0].snapshot !== head?.id.toString('hex'))) throw new Error('a snapshot that never was')
    await checkRecords(archive, { ...truth, snapshots: [...truth.snapshots, ...later] }, new Set())
    if (later.length === 0) await backUpAgain(archive, truth)
    if (damage(archive).length > 0) throw new Error(`called damaged: ${JSON.stringify(damage(archive))}`)
    return false
  } catch (error) {
    if (isFault(error, 'ARCHIVE_FAILED')) return true
    throw error
  } finally {
    await closeStore(store)
  }
}

for (const [what, openings] of [
  ['that was just written', 0],
  ['that was opened again and again', 3],
] as const) {
  test(`a flipped byte in the files of an index ${what} hides no record and makes none up (seed ${SEED})`, async t => {
    const dir = await temporary(t)
    const home = join(dir, 'store')
    const { records } = await makeArchive(home, SHAPE)
    for (let opening = 0; opening < openings; opening++) await closeStore((await open(home)).store)
    const archive = await open(home)
    const truth = await truthOf(archive, records)
    await closeStore(archive.store)
    const random = randomOf(SEED)
    const files = readdirSync(join(home, 'index'))
      .filter(name => name !== 'LOCK' && !name.startsWith('LOG') && readFileSync(join(home, 'index', name)).length > 0)
      .sort()
    t.log(files.join(' '))
    let loud = 0
    for (let run = 0; run < RUNS; run++) loud += (await tryIndexFlip(t, home, join(dir, 'flipped'), truth, files[run % files.length] as string, random)) ? 1 : 0
    t.log(`${loud} of ${RUNS} were only found by LevelDB while it was in use`)
  })
}
