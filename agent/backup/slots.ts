// The memory that file content is read into: a few slots inside the chunker's own memory, so that nothing is copied
// between reading, cutting, hashing and compressing. A slot is free again when every block cut from it is compressed.
// Waiting for a free slot is the back-pressure that holds the reader to the speed of the compressor.
import { CHUNK_BYTES_MAX } from '#format/chunker.ts'

/** Room for the longest block; most are half of that, and lie in one slot together. */
export const SLOT_BYTES = CHUNK_BYTES_MAX
export const SLOTS = 5

export type Slot = {
  /** Where the slot begins in the chunker's memory, in bytes. */
  readonly start: number
  /** Blocks that still read from this slot, and one for its owner. */
  users: number
}

export type Slots = {
  /** A free slot, held by the caller until `release`. */
  take(): Promise<Slot>
  hold(slot: Slot): void
  release(slot: Slot): void
}

/** Divides the first SLOTS × SLOT_BYTES of the chunker's memory. */
export function createSlots(): Slots {
  const free: Slot[] = Array.from({ length: SLOTS }, (_, i) => ({ start: i * SLOT_BYTES, users: 0 }))
  const waiting: ((slot: Slot) => void)[] = []
  return {
    take: () => {
      const slot = free.pop()
      if (slot) {
        slot.users = 1
        return Promise.resolve(slot)
      }
      return new Promise(resolve => waiting.push(resolve))
    },
    hold(slot) {
      slot.users++
    },
    release(slot) {
      if (--slot.users > 0) return
      const next = waiting.shift()
      if (next) {
        slot.users = 1
        next(slot)
      } else free.push(slot)
    },
  }
}
