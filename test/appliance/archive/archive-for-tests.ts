// An archive with everything in it: blocks, pages, snapshots, sealed segments and an open one, groups of one record and of
// several.
import { join } from 'node:path'
import { type Archive, closeArchive, openArchive } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { closeStore, type StoreOptions } from '../../../appliance/archive/store.ts'
import { ARCHIVE, idOfRecord, openReal, put } from './open.ts'
import { block, framed, page, snapshot } from './records.ts'

export type MadeArchive = {
  readonly home: string
  readonly dir: string
  /** All records that were acknowledged, by hex id. */
  readonly records: ReadonlyMap<string, Buffer>
  readonly snapshots: readonly Buffer[]
}
export type Shape = {
  /** Each commits a snapshot. */
  readonly backups: number
  readonly blocks: number
  readonly block_bytes_max: number
  readonly segment_bytes: number
}

export const SMALL: Shape = { backups: 4, blocks: 3, block_bytes_max: 90, segment_bytes: 2200 }

/** Makes an archive in a new store under `home`, and closes the store. */
export async function makeArchive(home: string, shape: Shape = SMALL): Promise<MadeArchive> {
  const store = await openReal(home, optionsOf(shape))
  const archive = await openArchive(store, ARCHIVE, { create: true })
  const { records, snapshots } = await fillArchive(archive, shape)
  await closeArchive(archive)
  await closeStore(store)
  return { home, dir: join(home, 'archives', ARCHIVE), records, snapshots }
}

/** Backs up as often as the shape says; all is acknowledged when it returns. */
export async function fillArchive(archive: Archive, shape: Shape): Promise<Pick<MadeArchive, 'records' | 'snapshots'>> {
  const records = new Map<string, Buffer>()
  const snapshots: Buffer[] = []
  for (let backup = 0; backup < shape.backups; backup++) {
    const made = await backUp(archive, shape, `${backup}`)
    for (const record of made) records.set(idOfRecord(record).toString('hex'), record)
    snapshots.push(made.at(-1) as Buffer)
  }
  return { records, snapshots }
}

export function optionsOf({ segment_bytes }: Shape): StoreOptions {
  let time_ms = 1_790_000_000_000
  return { segment_bytes, now: () => (time_ms += 1000) }
}

/** Blocks, a page of them, and a snapshot of the page; the snapshot is the last. */
export async function backUp(archive: Archive, { blocks, block_bytes_max }: Shape, name: string): Promise<Buffer[]> {
  const made = Array.from({ length: blocks }, (_, i) => block(`${name} ${i}`, 1 + Math.floor((block_bytes_max * (i + 1)) / blocks)))
  const onePage = page(`${name} page`, made.map(idOfRecord))
  // The last block comes alone: a group of one record.
  await put(archive, ...made.slice(0, -1), onePage)
  await put(archive, ...made.slice(-1))
  const { head } = archive
  const one = snapshot(`${name} snapshot`, (head?.sequence ?? 0) + 1, head?.id, [idOfRecord(onePage)])
  await commitSnapshot(archive, framed(one))
  return [...made, onePage, one]
}
