// An archive on a simulated disk, and one on the real disk, for tests.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { parseRecord } from '#protocol/record.ts'
import { append } from '../../../appliance/archive/append.ts'
import { type Archive, openArchive } from '../../../appliance/archive/archive.ts'
import type { Disk } from '../../../appliance/archive/disk.ts'
import type { IndexDatabase } from '../../../appliance/archive/index-database.ts'
import { openStore, type Store, type StoreOptions } from '../../../appliance/archive/store.ts'
import { framed } from './records.ts'
import { createSimulatedDatabase, type SimulatedDatabase } from './simulated-database.ts'
import { createSimulatedDisk, type SimulatedDisk } from './simulated-disk.ts'

export const ARCHIVE = '00112233445566778899aabbccddeeff'
export const ARCHIVE_DIR = `/store/archives/${ARCHIVE}`
export const segmentFile = (number: number): string => `${ARCHIVE_DIR}/${String(number).padStart(8, '0')}.segment`

export type Simulated = {
  readonly disk: SimulatedDisk
  readonly database: SimulatedDatabase
  /** Opens the archive as a new process would; what an earlier one had open is of no more use. */
  open(options?: Partial<StoreOptions>): Promise<Archive>
}

/** A store in memory; `wrap` may stand between the engine and its disk or database. */
export function simulate(wrap: { disk?: (disk: Disk) => Disk; database?: (database: IndexDatabase) => IndexDatabase } = {}): Simulated {
  const disk = createSimulatedDisk()
  const database = createSimulatedDatabase()
  const { disk: wrapDisk = same => same, database: wrapDatabase = same => same } = wrap
  let time_ms = 1_800_000_000_000
  return {
    disk,
    database,
    open: async options => {
      disk.restart()
      const store = await openStore('/store', {
        disk: wrapDisk(disk),
        openDatabase: async () => wrapDatabase(await database.open()),
        reserve_bytes: 0,
        now: () => time_ms++,
        ...options,
      })
      return openArchive(store, ARCHIVE, { create: true })
    },
  }
}

/** A directory that is gone after the test. */
export async function temporary(t: ExecutionContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-archive-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return dir
}

export const openReal = (home_dir: string, options: StoreOptions = {}): Promise<Store> => openStore(home_dir, { reserve_bytes: 0, ...options })

export const put = (archive: Archive, ...records: Buffer[]): ReturnType<typeof append> =>
  append(
    archive,
    records.map(record => framed(record)),
  )

export const idsOf = (...records: Buffer[]): Buffer => Buffer.concat(records.map(record => parseRecord(record).header.id))
export const idOfRecord = (record: Buffer): Buffer => parseRecord(record).header.id
