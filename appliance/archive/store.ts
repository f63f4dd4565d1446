// A store: the archives of one storage node, and the index over them. Invariants:
//   one process has it open at a time, which the lock of the index guarantees;
//   nothing but segments is precious: the index can be deleted at any time while the store is closed.
//   <home>/layout                  version of the layout
//   <home>/index/                  LevelDB
//   <home>/archives/<archive id>/  segments, and nothing else
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isFault } from '#protocol/fault.ts'
import { SEGMENT_BYTES_SEAL } from '#protocol/limits.ts'
import { closeIndex, openIndex } from './archive-index.ts'
import { type Disk, systemCode } from './disk.ts'
import type { Store } from './engine.ts'
import { fault } from './errors.ts'
import { type IndexDatabase, openLevel } from './index-database.ts'
import { forgetIndexFailed, hasIndexFailed } from './index-failed.ts'
import { archivesDir, ensureLayout } from './layout.ts'
import { closeFiles, createOpenFiles } from './open-files.ts'
import { realDisk } from './real-disk.ts'
import { closeWriter } from './segment-writer.ts'

export type { Store } from './engine.ts'

/** Free space of the volume that uploads never use: for the index, and for the rest of the appliance. */
export const RESERVE_BYTES = 512 * 1024 * 1024

export type StoreOptions = {
  /** The file layer under the segments; the real one if not given. */
  readonly disk?: Disk
  readonly reserve_bytes?: number
  /** A segment is sealed once it is so long. */
  readonly segment_bytes?: number
  /** The clock: milliseconds since 1970. */
  readonly now?: () => number
  /** Opens the index's database; LevelDB in <home>/index if not given. */
  readonly openDatabase?: () => Promise<IndexDatabase>
}

const ARCHIVE_NAME = /^[0-9a-f]{32}$/

/**
 * Opens the store in a directory, and makes it if it is not there. Archives are opened at their first use.
 *
 * @param home_dir  directory of the store (mode 0700 when made)
 * @throws STORE_BUSY        another process has it open
 *         STORE_NEWER       it was written by a newer version
 *         STORE_INVALID     its layout file is damaged
 *         STORE_UNREADABLE  permissions, or an error of the disk
 */
export async function openStore(home_dir: string, options: StoreOptions = {}): Promise<Store> {
  const disk = options.disk ?? realDisk
  let database: IndexDatabase | undefined
  try {
    if (disk === realDisk) await mkdir(dirname(home_dir), { recursive: true, mode: 0o700 })
    await disk.makeDirectory(home_dir)
    await disk.syncDirectory(dirname(home_dir))
    // The lock of the index first: only its holder may touch anything else.
    database = await (options.openDatabase ?? (() => openDatabase(home_dir)))()
    await ensureLayout(disk, home_dir)
    await disk.makeDirectory(archivesDir(home_dir))
    await disk.syncDirectory(home_dir)
    const { reserve_bytes = RESERVE_BYTES, segment_bytes = SEGMENT_BYTES_SEAL, now = Date.now } = options
    return { home_dir, disk, reserve_bytes, segment_bytes, now, index: await openIndex(database), files: createOpenFiles(disk), archives: new Map() }
  } catch (error) {
    await database?.close()
    if (isFault(error)) throw error
    throw fault('STORE_UNREADABLE', { found: `${systemCode(error) ?? 'an error'} in ${home_dir}`, cause: error })
  }
}

async function openDatabase(home_dir: string): Promise<IndexDatabase> {
  const dir = join(home_dir, 'index')
  const database = await openLevel(dir)
  if (!hasIndexFailed(home_dir) && (await isReadable(database))) return database
  // The lock is ours, so the index may go; nobody else can have opened it in between and kept it.
  await database.close()
  await rm(dir, { recursive: true, force: true })
  const anew = await openLevel(dir)
  await forgetIndexFailed(home_dir)
  return anew
}

/** Whether the index can be opened: LevelDB finds some damage only when it reads. */
async function isReadable(database: IndexDatabase): Promise<boolean> {
  try {
    await openIndex(database)
    return true
  } catch {
    return false
  }
}

/**
 * Waits for what is under way, and closes the store. What was acknowledged is durable whether it is called or not.
 *
 * @throws nothing: an error on closing loses nothing that was acknowledged
 */
export async function closeStore(store: Store): Promise<void> {
  const archives = await Promise.allSettled(store.archives.values())
  store.archives.clear()
  for (const opened of archives) if (opened.status === 'fulfilled') await closeWriter(opened.value)
  await closeFiles(store.files)
  await closeIndex(store.index)
}

/** Hex ids of the archives in the store, sorted. */
export async function listArchives(store: Store): Promise<string[]> {
  return (await store.disk.list(archivesDir(store.home_dir))).filter(name => ARCHIVE_NAME.test(name)).sort()
}
