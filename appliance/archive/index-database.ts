// What the index needs of a database, and LevelDB as that database. Invariants that the index builds on, and no more:
//   a batch is applied whole or not at all; nothing is promised to survive a power cut, and nothing read is verified.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { fault } from './errors.ts'

export type IndexOperation = { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer } | { readonly type: 'del'; readonly key: Buffer }
export type KeyRange = { readonly gte: Buffer; readonly lt: Buffer }

export type IndexDatabase = {
  /** Values in the order of the keys; undefined for absent ones. */
  getMany(keys: Buffer[]): Promise<(Buffer | undefined)[]>
  batch(operations: IndexOperation[]): Promise<void>
  /** Keys and values of a range, in order of the keys. */
  entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]>
  lastKey(): Promise<Buffer | undefined>
  clear(range: KeyRange): Promise<void>
  close(): Promise<void>
}

/**
 * One LevelDB for all archives of a store: what it buffers is bounded for the store, not for an archive. Two write buffers
 * are in memory while one of them is written out; smaller ones stall for seconds at a time. Tables are mapped, as they are
 * not compressed, so they are the system's to keep or drop: at 100 million ids the process has some 160 MB of its own
 * (scripts/bench-index.ts).
 */
const WRITE_BUFFER_BYTES = 64 * 1024 * 1024
const FILE_BYTES_MAX = 32 * 1024 * 1024
const CACHE_BYTES = 8 * 1024 * 1024
/** Keys are random: Snappy finds nothing in them. */
const IS_COMPRESSED = false

/**
 * Opens LevelDB in a directory, which is made if it is not there. A LevelDB that cannot be opened because it is damaged
 * is thrown away: all that it held is in the segments.
 *
 * @throws STORE_BUSY        another process has it open
 *         STORE_UNREADABLE  it can neither be opened nor made again (permissions, a full disk)
 */
export async function openLevel(dir: string): Promise<IndexDatabase> {
  try {
    return await openOnce(dir)
  } catch (error) {
    if (causeCode(error) === 'LEVEL_LOCKED') throw fault('STORE_BUSY', { found: dir, cause: error })
    if (!isDamage(error)) throw fault('STORE_UNREADABLE', { found: dir, cause: error })
  }
  try {
    await rm(dir, { recursive: true, force: true })
    return await openOnce(dir)
  } catch (error) {
    throw fault('STORE_UNREADABLE', { found: dir, cause: error })
  }
}

async function openOnce(dir: string): Promise<IndexDatabase> {
  const level = new ClassicLevel<Buffer, Buffer>(join(dir), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: WRITE_BUFFER_BYTES,
    maxFileSize: FILE_BYTES_MAX,
    cacheSize: CACHE_BYTES,
    compression: IS_COMPRESSED,
  })
  await level.open()
  return {
    getMany: keys => level.getMany(keys),
    batch: operations => level.batch(operations),
    entries: range => level.iterator(range),
    lastKey: async () => {
      for await (const key of level.keys({ reverse: true, limit: 1 })) return key
      return undefined
    },
    clear: range => level.clear(range),
    close: () => level.close(),
  }
}

const causeCode = (error: unknown): unknown => (error instanceof Error && error.cause instanceof Error && 'code' in error.cause ? error.cause.code : undefined)

/** Damage to LevelDB's own files, among the reasons for which it does not open: not a missing permission, not a full disk. */
function isDamage(error: unknown): boolean {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined
  if (cause === undefined) return false
  return (
    causeCode(error) === 'LEVEL_CORRUPTION' ||
    /corrupt|no such file|missing files|does not exist|invalid argument|not a directory|too short|bad /i.test(cause.message)
  )
}
