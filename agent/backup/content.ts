// Reads files into slots and cuts them into blocks. Small files run together into a pack in the order in which they
// come; a pack ends where the content hash of a file says so (in proportion to the file's size), so that the same files make the same blocks again, and a small file is never cut in two.
// Large files are cut alone, by content (#format/chunker.ts). A file is compared with its state before it was read; one that
// changed meanwhile is read again, and if it goes on changing it is stored as last read, and reported.
import { closeSync, constants, openSync, readSync } from 'node:fs'
import type { FileStats } from '#filesystem/file-stats.ts'
import { statsOfFile } from '#filesystem/libc.ts'
import { systemPath } from '#filesystem/system-path.ts'
import { createChunker } from '#format/chunker.ts'
import { hashContent, startExtentsHash } from '#format/content-hash.ts'
import type { ArchiveKeys } from '#format/keys.ts'
import type { NewExtent, UnfinishedBlock } from '#format/page.ts'
import { SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { KIND } from '#protocol/record.ts'
import type { Cache, Place } from './cache.ts'
import type { Sending } from './sending.ts'
import { createSlots, SLOT_BYTES, SLOTS, type Slot } from './slots.ts'

/** Behind the minimum one byte in so many ends a pack, on average; a slot is the longest. Longer packs compress better. */
const PACK_BYTES_MIN = 1024 * 1024
const PACK_BYTES_BETWEEN_ENDS = 1024 * 1024
/** Shorter files are not looked up by their hash: a reference costs more than it saves. */
const PLACE_BYTES_MIN = 4096
/** How often a file that changes while it is read is read at most; large ones once. */
const READS_MAX = 3
const REREAD_BYTES_MAX = 64 * 1024 * 1024
const NOTHING = Buffer.alloc(0)
const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

export type ReadContent = {
  readonly extents: NewExtent[]
  readonly content: Buffer | undefined
  readonly stats: FileStats
  /** In bytes, of what was read and its holes. */
  readonly size: number
  readonly holes: Hole[] | undefined
  /** It changed while it was read, every time: what is stored is what was read last. */
  readonly isUnstable: boolean
}
type Hole = [offset: number, length: number]
type Pack = {
  readonly slot: Slot
  readonly start: number
  used: number
  readonly block: UnfinishedBlock
  readonly places: { hash: Buffer; offset: number; length: number }[]
}

export type ContentOptions = {
  readonly keys: ArchiveKeys
  readonly cache: Cache
  readonly sending: Sending
  readonly isDistrustful: boolean
  /** Places of a closed pack, to be remembered once its ordinal is durable. */
  readonly onPlaces: (ordinal: number, places: { hash: Buffer; place: Place }[]) => void
  /** The data regions of a file that is open, or undefined if it has no holes. */
  readonly holesOf: (fd: number, stats: FileStats) => Hole[] | undefined
}

export function createContent(options: ContentOptions) {
  const { keys, cache, sending } = options
  const chunker = createChunker(keys.chunk, SLOTS * SLOT_BYTES)
  const memory = chunker.memory
  const slots = createSlots()
  const pending = new Map<string, { block: UnfinishedBlock; offset: number; length: number }>()
  const counts = { read_bytes: 0 }
  let pack: Pack | undefined

  const takeSlot = async (): Promise<Slot> => {
    await sending.room()
    return slots.take()
  }

  const closePack = (): void => {
    const closing = pack
    pack = undefined
    if (!closing) return
    const { slot, start, used } = closing
    if (used === 0) {
      slots.release(slot)
      return
    }
    const { id, ordinal } = sending.put(KIND.block, memory.subarray(start, start + used), NOTHING, () => slots.release(slot))
    closing.block.id = id
    options.onPlaces(
      ordinal,
      closing.places.map(({ hash, offset, length }) => ({ hash, place: { block: id, offset, length } })),
    )
  }

  const packWithRoom = (length: number): Pack | undefined => (pack && pack.used + length <= SLOT_BYTES ? pack : undefined)

  /** A pack with room for `length` more bytes: a new one if the last would be too long. */
  const openPack = async (length: number): Promise<Pack> => {
    const open = packWithRoom(length)
    if (open) return open
    closePack()
    await sending.room()
    const slot = await slots.take()
    pack = { slot, start: slot.start, used: 0, block: { id: undefined }, places: [] }
    return pack
  }

  const known = (hash: Buffer): NewExtent | undefined => {
    const name = hash.toString('latin1', 0, 16)
    const here = pending.get(name)
    if (here) return here
    const place = options.isDistrustful ? undefined : cache.place(hash)
    return place && { block: place.block, offset: place.offset, length: place.length }
  }

  /** Whether a pack ends behind a file: with probability length / PACK_BYTES_BETWEEN_ENDS, decided by its content. */
  const endsPack = (hash: Buffer, length: number, used: number): boolean =>
    used >= PACK_BYTES_MIN && hash.readUInt32LE(0) < (length / PACK_BYTES_BETWEEN_ENDS) * 2 ** 32

  const readSmall = async (
    fd: number,
    regions: readonly Hole[],
    length: number,
    size: number,
  ): Promise<{ extents: NewExtent[]; content: Buffer; read_bytes: number }> => {
    // At the file's end one byte more than expected is asked for, so that growth is seen.
    const into = await openPack(length + 1)
    const at = into.start + into.used
    let read_bytes = 0
    for (const [offset, region_bytes] of regions) {
      const growth_bytes = offset + region_bytes === size ? 1 : 0
      read_bytes += readFully(fd, at + read_bytes, region_bytes, growth_bytes, offset)
    }
    counts.read_bytes += read_bytes
    // Nothing, or grown out of the small ones meanwhile: read again as what it is now.
    if (read_bytes === 0 || read_bytes >= SMALL_FILE_BYTES) return { extents: [], content: NOTHING, read_bytes }
    return packSmall(into, read_bytes)
  }

  /** The content of a small file lies behind what the pack holds: it is taken in, unless it is stored already. */
  const packSmall = (into: Pack, read_bytes: number): { extents: NewExtent[]; content: Buffer; read_bytes: number } => {
    const at = into.start + into.used
    const bytes = memory.subarray(at, at + read_bytes)
    const hash = hashContent(keys, bytes)
    const isWorthKnowing = read_bytes >= PLACE_BYTES_MIN
    const place = isWorthKnowing ? known(hash) : undefined
    if (place) return { extents: [place], content: hash, read_bytes }
    const extent = { block: into.block, offset: into.used, length: read_bytes }
    into.used += read_bytes
    if (isWorthKnowing) {
      pending.set(hash.toString('latin1', 0, 16), extent)
      into.places.push({ hash, offset: extent.offset, length: read_bytes })
    }
    if (endsPack(hash, read_bytes, into.used)) closePack()
    return { extents: [extent], content: hash, read_bytes }
  }

  /** Reads `length` bytes, in one call as a rule; more than that (up to `surplus`) only if the file has grown. */
  const readFully = (fd: number, at: number, length: number, surplus: number, position: number): number => {
    let read_bytes = 0
    while (read_bytes < length || (length === 0 && surplus > 0 && read_bytes === 0)) {
      const n = readSync(fd, memory, at + read_bytes, length + surplus - read_bytes, position + read_bytes)
      if (n === 0) break
      read_bytes += n
    }
    return read_bytes
  }

  const readLarge = async (fd: number, regions: readonly Hole[]): Promise<{ extents: NewExtent[]; content: Buffer; read_bytes: number }> => {
    const extents: NewExtent[] = []
    const hash = startExtentsHash(keys)
    let slot = await takeSlot()
    let begin = 0
    let filled = 0
    let read_bytes = 0
    let region = 0
    let inRegion = 0
    let isEnd = false
    try {
      for (;;) {
        while (!isEnd && filled < SLOT_BYTES) {
          const [offset, region_bytes] = regions[region] ?? [0, 0]
          const n =
            region < regions.length ? readSync(fd, memory, slot.start + filled, Math.min(SLOT_BYTES - filled, region_bytes - inRegion), offset + inRegion) : 0
          filled += n
          inRegion += n
          read_bytes += n
          counts.read_bytes += n
          if (n === 0 || inRegion === region_bytes) {
            region++
            inRegion = 0
            isEnd = region >= regions.length
          }
        }
        while (begin < filled) {
          const length = chunker.nextCut(slot.start + begin, filled - begin, isEnd)
          if (length === 0) break
          const held = slot
          slots.hold(held)
          const { id } = sending.put(KIND.block, memory.subarray(slot.start + begin, slot.start + begin + length), NOTHING, () => slots.release(held))
          extents.push({ block: id, offset: 0, length })
          hash.add(id, 0, length)
          begin += length
          // What is compressed meanwhile is sent, and the compressor gets its next block.
          await nextTurn()
        }
        if (isEnd && begin === filled) break
        const from = slot
        const next = await takeSlot()
        memory.copyWithin(next.start, from.start + begin, from.start + filled)
        filled -= begin
        begin = 0
        slot = next
        slots.release(from)
      }
    } finally {
      slots.release(slot)
    }
    return { extents, content: hash.digest(), read_bytes }
  }

  const takeInto = (into: Pack, content: Buffer, stats: FileStats): ReadContent => {
    counts.read_bytes += content.length
    if (content.length === 0) return { extents: [], content: undefined, stats, size: 0, holes: undefined, isUnstable: false }
    content.copy(memory, into.start + into.used)
    const { extents, content: hash } = packSmall(into, content.length)
    return { extents, content: hash, stats, size: content.length, holes: undefined, isUnstable: false }
  }

  return {
    counts,
    closePack,
    /** These places are durable now: the cache knows them. */
    forgetPending(places: readonly { hash: Buffer }[]): void {
      for (const { hash } of places) pending.delete(hash.toString('latin1', 0, 16))
    },
    /** Takes in the content of a small file that was read already. */
    async take(content: Buffer, stats: FileStats): Promise<ReadContent> {
      return takeInto(await openPack(content.length), content, stats)
    },
    /** take() at once; undefined if there is no room just now. */
    takeNow(content: Buffer, stats: FileStats): ReadContent | undefined {
      const into = packWithRoom(content.length)
      return into && takeInto(into, content, stats)
    },
    /**
     * Reads one regular file.
     *
     * @param before  its state at the scan
     * @throws NodeJS.ErrnoException if it can't be read; an Error with code VANISHED if it is another file now
     */
    async read(path: string, before: FileStats): Promise<ReadContent> {
      const fd = openSync(systemPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      try {
        let stats = before
        for (let reads = 1; ; reads++) {
          const length = stats.size
          const holes = stats.mayHaveHoles() ? options.holesOf(fd, stats) : undefined
          const regions = holes ? dataRegions(holes, length) : [[0, length] as Hole]
          const data_bytes = holes ? regions.reduce((sum, [, region_bytes]) => sum + region_bytes, 0) : length
          const got = data_bytes < SMALL_FILE_BYTES ? await readSmall(fd, regions, data_bytes, length) : await readLarge(fd, regions)
          const after = statsOfFile(fd)
          if (after.ino !== before.ino || !after.isFile()) throw Object.assign(new Error('replaced'), { code: 'VANISHED' })
          const isSame = got.read_bytes === data_bytes && after.size === stats.size && after.mtime_ns === stats.mtime_ns && after.ctime_ns === stats.ctime_ns
          if (!isSame && got.read_bytes >= SMALL_FILE_BYTES !== data_bytes >= SMALL_FILE_BYTES) {
            // It crossed the border between small and large files: what was read has the other kind's hash.
            if (reads >= READS_MAX) throw Object.assign(new Error('it changes size faster than it can be read'), { code: 'CHANGED' })
            stats = after
            continue
          }
          if (isSame) return { ...found(got), size: length, stats, holes, isUnstable: false }
          if (reads >= READS_MAX || length > REREAD_BYTES_MAX) {
            if (holes && got.read_bytes !== data_bytes) throw Object.assign(new Error('a sparse file shrank while it was read'), { code: 'CHANGED' })
            return { ...found(got), size: holes ? length : got.read_bytes, stats, holes, isUnstable: true }
          }
          stats = after
        }
      } finally {
        closeSync(fd)
      }
    },
  }
}

const found = ({ extents, content, read_bytes }: { extents: NewExtent[]; content: Buffer; read_bytes: number }): Pick<ReadContent, 'extents' | 'content'> => ({
  extents,
  content: read_bytes > 0 ? content : undefined,
})

/** What lies between the holes of a file. */
function dataRegions(holes: readonly Hole[], length: number): Hole[] {
  const regions: Hole[] = []
  let at = 0
  for (const [offset, hole_bytes] of holes) {
    if (offset > at) regions.push([at, offset - at])
    at = offset + hole_bytes
  }
  if (at < length) regions.push([at, length - at])
  return regions
}

export type Content = ReturnType<typeof createContent>
