// What the agent remembers between backups, so that it neither reads nor sends anything twice. All of it may be
// deleted at any time: the next backup then reads every file again, and asks the storage node which blocks it has.
//   cache/index/          LevelDB: content hash of a small file → where its bytes are stored; pages of an unfinished backup
//   cache/pages/<id>      sealed page records of the last snapshot, exactly as they are stored
//   cache/snapshot        sealed record of the last snapshot
// Invariant: a content hash is written only after its block was acknowledged by the storage node.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { fault } from './errors.ts'

const CACHE_VERSION = 1
const PLACE_BYTES = 40

export type Place = { readonly block: Buffer; readonly offset: number; readonly length: number }
export type FinishedPage = { readonly id: Buffer; readonly lastPath: string }

export type Cache = {
  /** Where content with this hash is stored, if that is known. */
  place(hash: Buffer): Place | undefined
  /** Remembers places of content whose blocks were acknowledged. */
  putPlaces(places: readonly { hash: Buffer; place: Place }[]): Promise<void>
  /** A sealed page record, if it is here. */
  page(id: Buffer): Buffer | undefined
  putPage(id: Buffer, record: Buffer): void
  /** The sealed record of the last snapshot, if it is here. */
  snapshot(): Buffer | undefined
  /** Pages of a backup that did not end, in path order. */
  unfinished(): Promise<FinishedPage[]>
  putUnfinished(ordinal: number, page: FinishedPage): Promise<void>
  /** After a commit: keeps this snapshot and its pages, and forgets the rest. */
  keep(snapshot: Buffer, pages: readonly Buffer[]): Promise<void>
  /** Forgets everything. */
  clear(): Promise<void>
  close(): Promise<void>
}

const unfinishedKey = (ordinal: number): Buffer => {
  const key = Buffer.from('p\0\0\0\0', 'latin1')
  key.writeUInt32BE(ordinal, 1)
  return key
}
const placeKey = (hash: Buffer): Buffer => Buffer.concat([Buffer.from('c'), hash])

/**
 * Opens the cache of one archive; one that belongs to another archive is emptied first.
 *
 * @throws CACHE_NEWER if a newer version wrote it
 */
export async function openCache(home: string, archive: string): Promise<Cache> {
  const folder = join(home, 'cache')
  const pages = join(folder, 'pages')
  mkdirSync(pages, { recursive: true, mode: 0o700 })
  const level = new ClassicLevel<Buffer, Buffer>(join(folder, 'index'), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: 2 << 20,
    cacheSize: 2 << 20,
    maxOpenFiles: 64,
  })
  await level.open()
  const cache = cacheOver(level, folder, pages)
  const owner = (await level.get(Buffer.from('owner')))?.toString() ?? ''
  const wanted = `${CACHE_VERSION} ${archive}`
  if (Number.parseInt(owner, 10) > CACHE_VERSION) {
    await level.close()
    throw fault('CACHE_NEWER', { expected: `version ${CACHE_VERSION}`, found: `version ${Number.parseInt(owner, 10)}` })
  }
  if (owner !== wanted) {
    await cache.clear()
    await level.put(Buffer.from('owner'), Buffer.from(wanted))
  }
  return cache
}

/** One bit for each place that was put, by its hash; used while no place is older than the process. */
const SEEN_BITS = 2 ** 21

function cacheOver(level: ClassicLevel<Buffer, Buffer>, folder: string, pages: string): Cache {
  // In a first backup nearly all content is new: most look-ups end here.
  let seen: Uint8Array | undefined
  const bitOf = (hash: Buffer): number => hash.readUInt32LE(4) % SEEN_BITS

  const pageFile = (id: Buffer): string => join(pages, id.toString('hex'))
  const snapshotFile = join(folder, 'snapshot')
  const forgetUnfinished = (): Promise<void> => level.clear({ gte: Buffer.from('p'), lt: Buffer.from('q') })
  return {
    place(hash) {
      if (seen && !((seen[bitOf(hash) >> 3] as number) & (1 << (bitOf(hash) & 7)))) return undefined
      const value = level.getSync(placeKey(hash))
      if (value?.length !== PLACE_BYTES) return undefined
      return { block: value.subarray(0, 32), offset: value.readUInt32LE(32), length: value.readUInt32LE(36) }
    },
    putPlaces(places) {
      if (seen) for (const { hash } of places) seen[bitOf(hash) >> 3] = (seen[bitOf(hash) >> 3] as number) | (1 << (bitOf(hash) & 7))
      return level.batch(places.map(({ hash, place }) => ({ type: 'put', key: placeKey(hash), value: encodePlace(place) })))
    },
    page: id => readIfThere(pageFile(id)),
    putPage(id, record) {
      // Never synced: a torn file does not open, and is fetched again.
      writeFileSync(pageFile(id), record, { mode: 0o600 })
    },
    snapshot: () => readIfThere(snapshotFile),
    async unfinished() {
      const found: FinishedPage[] = []
      for await (const value of level.values({ gte: Buffer.from('p'), lt: Buffer.from('q') })) {
        found.push({ id: value.subarray(0, 32), lastPath: value.toString('latin1', 32) })
      }
      return found
    },
    putUnfinished: (ordinal, page) => level.put(unfinishedKey(ordinal), Buffer.concat([page.id, Buffer.from(page.lastPath, 'latin1')])),
    async keep(snapshot, kept) {
      writeFileSync(`${snapshotFile}.new`, snapshot, { mode: 0o600 })
      renameSync(`${snapshotFile}.new`, snapshotFile)
      await forgetUnfinished()
      const names = new Set(kept.map(id => id.toString('hex')))
      for (const name of readdirSync(pages)) if (!names.has(name)) rmSync(join(pages, name), { force: true })
    },
    async clear() {
      rmSync(snapshotFile, { force: true })
      for (const name of readdirSync(pages)) rmSync(join(pages, name), { force: true })
      await level.clear({ gte: Buffer.from('c'), lt: Buffer.from('d') })
      await forgetUnfinished()
      seen = new Uint8Array(SEEN_BITS / 8)
    },
    close: () => level.close(),
  }
}

function encodePlace(place: Place): Buffer {
  const value = Buffer.allocUnsafe(PLACE_BYTES)
  value.set(place.block)
  value.writeUInt32LE(place.offset, 32)
  value.writeUInt32LE(place.length, 36)
  return value
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}
