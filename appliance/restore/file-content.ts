// The content of one file of an archive. It is checked as the agent's restore does it: each block by its id, the file by
// the hash of its entry. A small file is checked whole before any of it is sent; a large one by the list of its blocks,
// which is known when its last part is; what comes in pieces for other reasons, as it streams.
import { hashContent, startContentHash, startExtentsHash } from '#format/content-hash.ts'
import type { ArchiveKeys } from '#format/keys.ts'
import { SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { ID_BYTES } from '#protocol/record.ts'
import { displayPath } from '#restore/byte-path.ts'
import { fault } from '#restore/errors.ts'
import { dataRegions, forEachRun } from '#restore/regions.ts'
import type { Building } from './building.ts'
import type { FileEntry, Part } from './parts.ts'

type Extent = { readonly id: Buffer; readonly offset: number; readonly length: number }

export type FileContent = {
  /** Adds one part; the parts of a file come in order. */
  add(part: Part): Promise<void>
  /** Adds what comes behind the last extent, and has the content checked. */
  end(): Promise<void>
}

/**
 * Begins the content of a file.
 *
 * @param isExpanded  with zeros for its holes
 * @param onContent   sees all of it, in its turn, in pieces, when it is there
 */
export function startContent(building: Building, keys: ArchiveKeys, entry: FileEntry, isExpanded: boolean, onContent: (piece: Buffer) => void): FileContent {
  if (isSmall(entry, isExpanded)) return smallContent(building, keys, entry, onContent)
  return streamedContent(building, keys, entry, isExpanded ? entry.holes : undefined, onContent)
}

/** Whether the content lies in one stretch, and is checked before it is sent. */
export const isSmall = (entry: FileEntry, isExpanded: boolean): boolean => entry.stored_bytes < SMALL_FILE_BYTES && !(isExpanded && entry.holes)

function smallContent(building: Building, keys: ArchiveKeys, entry: FileEntry, onContent: (piece: Buffer) => void): FileContent {
  const { stored_bytes, path } = entry
  const extents: Extent[] = []
  let start: number | undefined
  let done = 0
  return {
    async add(part) {
      if (start === undefined) {
        if (building.isPast(stored_bytes)) return building.skip(stored_bytes)
        await building.room(stored_bytes)
        start = building.reserve(stored_bytes)
      }
      for (const extent of extentsOf(part)) {
        building.place(extent.id.toString('latin1'), extent.offset, extent.length, start + done, path)
        done += extent.length
        extents.push(extent)
      }
    },
    async end() {
      const at = start
      if (at === undefined) return
      building.later(memory => {
        const content = memory.subarray(at, at + stored_bytes)
        if (stored_bytes > 0) check(keys, entry, extents, () => hashContent(keys, content))
        onContent(content)
      })
    },
  }
}

function streamedContent(building: Building, keys: ArchiveKeys, entry: FileEntry, holes: FileEntry['holes'], onContent: (piece: Buffer) => void): FileContent {
  const { stored_bytes, size, path } = entry
  const regions = dataRegions(holes, holes ? size : stored_bytes)
  const isSmallStored = stored_bytes > 0 && stored_bytes < SMALL_FILE_BYTES
  const contentHash = isSmallStored ? startContentHash(keys, stored_bytes) : undefined
  const smallExtents: Extent[] = []
  const extentsHash = startExtentsHash(keys)
  /** Of the next byte of stored content, and of the file. */
  let content = 0
  let file = 0
  const addRun = async (extent: Extent, name: string, from: number, at_file: number, length: number): Promise<void> => {
    if (at_file > file) await building.zeros(at_file - file, onContent)
    file = at_file + length
    if (building.isPast(length)) return building.skip(length)
    await building.room(length)
    const at = building.reserve(length)
    building.place(name, extent.offset + from, length, at, path)
    building.later(memory => {
      const piece = memory.subarray(at, at + length)
      contentHash?.update(piece)
      onContent(piece)
    })
  }
  return {
    async add(part) {
      for (const extent of extentsOf(part)) {
        extentsHash.add(extent.id, extent.offset, extent.length)
        if (isSmallStored) smallExtents.push(extent)
        const name = extent.id.toString('latin1')
        const runs: [number, number, number][] = []
        forEachRun(regions, content, extent.length, (...run) => void runs.push(run))
        for (const run of runs) await addRun(extent, name, ...run)
        content += extent.length
      }
    },
    async end() {
      if (holes && file < size) await building.zeros(size - file, onContent)
      const digest = extentsHash.digest()
      if (contentHash) building.later(() => check(keys, entry, smallExtents, () => contentHash.digest()))
      else if (stored_bytes > 0 && !entry.content?.equals(digest)) throw mismatch(entry)
    },
  }
}

/** A file that shrank below the limit while it was read was cut as a large one, and has the hash of those. */
function check(keys: ArchiveKeys, entry: FileEntry, extents: readonly Extent[], hash: () => Buffer): void {
  if (!entry.content) throw mismatch(entry)
  if (hash().equals(entry.content)) return
  const ofExtents = startExtentsHash(keys)
  for (const { id, offset, length } of extents) ofExtents.add(id, offset, length)
  if (!ofExtents.digest().equals(entry.content)) throw mismatch(entry)
}

const mismatch = ({ path }: FileEntry): Error => fault('CONTENT_MISMATCH', { facts: { path: displayPath(path) } })

/** The ids are views into the page's list of blocks, which stays when the page is released. */
function* extentsOf({ page, index }: Part): Generator<Extent> {
  for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) {
    const at = (page.extentBlock[extent] as number) * ID_BYTES
    yield {
      id: page.blocks.subarray(at, at + ID_BYTES),
      offset: page.extentOffset[extent] as number,
      length: page.extentLength[extent] as number,
    }
  }
}
