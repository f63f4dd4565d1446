// Builds an archive stretch by stretch. A stretch is a piece of the archive as it will be sent, in memory of a fixed size:
// headers are written where they belong, places for content are left free, then filled by the blocks as they come, in
// whichever order the storage node has them. When all are there, what can be checked is checked, and the stretch is sent
// as it lies there. Invariants:
//   two stretches at most: one is fetched and sent while the next is laid out, so memory depends on nothing else;
//   stretches are finished and sent in order, and nothing of one is sent before all of it is there and checked;
//   what lies before `from_bytes` is not sent, and not even built where it need not be.
import type { Writable } from 'node:stream'
import type { ArchiveKeys } from '#format/keys.ts'
import { isFault } from '#protocol/fault.ts'
import { BLOCK_BYTES_MAX } from '#protocol/limits.ts'
import { KIND } from '#protocol/record.ts'
import { displayPath } from '#restore/byte-path.ts'
import { fault } from '#restore/errors.ts'
import type { Fetcher } from '#restore/fetch-blocks.ts'
import { openExpected } from '#restore/pages.ts'

/** Longer than any block, and than any small file with its headers. */
export const STRETCH_BYTES = 8 * 1024 * 1024
const STRETCHES = 2
/** What is to be done with a stretch of tiny files would take more memory than they do. */
const ACTIONS_MAX = 4096

/** A piece of a block, and where in the stretch it belongs. */
type Place = { readonly offset: number; readonly length: number; readonly at: number; readonly path: string }

type Stretch = {
  readonly memory: Buffer
  /** Of its first byte in the archive. */
  start: number
  used: number
  /** By block id (latin1). */
  places: Map<string, Place[]>
  /** What is to be done, in order, when all content is there. */
  finishing: ((memory: Buffer) => void)[]
}

export type Building = {
  /** Of the next byte in the archive. */
  readonly position: number
  /** Whether so many bytes from here on are not wanted, and need not be built. */
  isPast(bytes: number): boolean
  /** Leaves out what isPast(). */
  skip(bytes: number): void
  /** From here on all is built, wanted or not: for what has to be read all the same. */
  buildAll(): void
  /** Adds bytes that are known. Copies them. */
  bytes(piece: Buffer): Promise<void> | void
  /** Adds zeros. `onBytes` sees them, in its turn, in pieces. */
  zeros(bytes: number, onBytes: (piece: Buffer) => void): Promise<void>
  /** Makes sure that so many bytes, at most STRETCH_BYTES, can be reserved in one stretch. */
  room(bytes: number): Promise<void> | void
  /** Takes so many bytes, for which there is room. Returns where they lie in the memory that `later` gets. */
  reserve(bytes: number): number
  /** A piece of a block is to lie at a reserved place. */
  place(block: string, offset: number, length: number, at: number, path: string): void
  /** Called when all content up to here is there, before any of this stretch is sent. */
  later(act: (memory: Buffer) => void): void
  /** Sends what is laid out so far, and resolves when it was sent. */
  settle(): Promise<void>
}

export type BuildingOptions = {
  readonly fetcher: Fetcher
  readonly keys: ArchiveKeys
  readonly output: Writable
  /** The first byte that is wanted. */
  readonly from_bytes: number
  readonly signal: AbortSignal
  /** The archive up to here was handed to the output. */
  readonly onSent: (position: number) => void
}

const nothing = (): void => {}

export function createBuilding({ fetcher, keys, output, from_bytes, signal, onSent }: BuildingOptions): Building {
  const free: Buffer[] = Array.from({ length: STRETCHES }, () => Buffer.allocUnsafeSlow(STRETCH_BYTES))
  /** For the content of the block that is being worked on. */
  const blockMemory = Buffer.allocUnsafeSlow(BLOCK_BYTES_MAX)
  const sending: Promise<void>[] = []
  let position = 0
  let isBuilding = from_bytes === 0
  const begin = (): Stretch => ({ memory: free.pop() as Buffer, start: position, used: 0, places: new Map(), finishing: [] })
  let stretch = begin()

  /** Opens each block once, and copies its pieces to where they belong. */
  const fill = async ({ memory, places }: Stretch): Promise<void> => {
    const names = [...places.keys()]
    let failure: Error | undefined
    const damaged = (name: string, cause: unknown): void => {
      const path = places.get(name)?.[0]?.path ?? ''
      failure ??= fault('RECORD_DAMAGED', { found: isFault(cause) ? cause.code : 'a block that is too short', cause, facts: { path: displayPath(path) } })
    }
    await fetcher.fetch(names, {
      onRecord: (name, record) => {
        if (signal.aborted) throw signal.reason
        try {
          const { plain } = openExpected(keys, KIND.block, Buffer.from(name, 'latin1'), record, { room: blockMemory })
          for (const { offset, length, at } of places.get(name) ?? []) {
            if (plain.length < offset + length) return damaged(name, undefined)
            plain.copy(memory, at, offset, offset + length)
          }
        } catch (error) {
          damaged(name, error)
        }
        places.delete(name)
        return undefined
      },
      onLost: damaged,
    })
    if (failure) throw failure
    for (const name of places.keys()) damaged(name, undefined)
    if (failure) throw failure as Error
  }

  const send = async (full: Stretch, before: Promise<void> | undefined): Promise<void> => {
    const filled = fill(full)
    filled.catch(nothing)
    await before
    await filled
    for (const act of full.finishing) act(full.memory)
    const end = full.start + full.used
    const unwanted = Math.min(full.used, Math.max(0, from_bytes - full.start))
    if (unwanted < full.used) await write(output, full.memory.subarray(unwanted, full.used))
    free.push(full.memory)
    onSent(end)
  }

  /** Begins to fetch and send what is laid out, and waits for memory for the next stretch. */
  const turn = async (): Promise<void> => {
    if (signal.aborted) throw signal.reason
    const sent = send(stretch, sending.at(-1))
    sent.catch(nothing)
    sending.push(sent)
    // Of those under way all but this one are done then, so there is memory for the next.
    while (sending.length >= STRETCHES) await sending.shift()
    stretch = begin()
  }
  const left = (): number => (stretch.finishing.length < ACTIONS_MAX ? STRETCH_BYTES - stretch.used : 0)
  const beginBuilding = (): void => {
    if (isBuilding) return
    isBuilding = true
    stretch.start = position
  }

  const building: Building = {
    get position() {
      return position
    },
    isPast: bytes => !isBuilding && position + bytes <= from_bytes,
    skip(bytes) {
      position += bytes
    },
    buildAll: beginBuilding,
    bytes(piece) {
      if (building.isPast(piece.length)) building.skip(piece.length)
      else if (piece.length <= left()) piece.copy(stretch.memory, building.reserve(piece.length))
      else return addInParts(piece)
      return undefined
    },
    async zeros(bytes, onBytes) {
      for (let rest = bytes; rest > 0; ) {
        if (left() === 0) await turn()
        const length = Math.min(rest, left())
        const at = building.reserve(length)
        stretch.memory.fill(0, at, at + length)
        building.later(memory => onBytes(memory.subarray(at, at + length)))
        rest -= length
      }
    },
    room: bytes => (bytes <= left() ? undefined : turn()),
    reserve(bytes) {
      beginBuilding()
      const at = stretch.used
      stretch.used += bytes
      position += bytes
      return at
    },
    place(block, offset, length, at, path) {
      const place = { offset, length, at, path }
      const places = stretch.places.get(block)
      if (places) places.push(place)
      else stretch.places.set(block, [place])
    },
    later(act) {
      stretch.finishing.push(act)
    },
    async settle() {
      if (stretch.used > 0) await turn()
      while (sending.length > 0) await sending.shift()
    },
  }
  const addInParts = async (piece: Buffer): Promise<void> => {
    for (let at = 0; at < piece.length; ) {
      if (left() === 0) await turn()
      const length = Math.min(left(), piece.length - at)
      piece.copy(stretch.memory, building.reserve(length), at, at + length)
      at += length
    }
  }
  return building
}

/** Resolves when the bytes are with the kernel: their memory may be used again. */
const write = (output: Writable, bytes: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    output.write(bytes, error => (error ? reject(error) : resolve()))
  })
