// The memory that uploads lie in between the socket and the disk: slots of one shared buffer, so that the worker that
// checks digests sees the same bytes. Invariants:
//   all uploads together never use more than the pool;
//   who waits for slots holds none that somebody's progress could wait for, and gets all at once, first come first served:
//   so nobody starves and nobody waits in a circle.
import assert from 'node:assert/strict'

export const SLOT_BYTES = 256 * 1024

export type Slot = {
  /** Where it begins in the shared buffer, in bytes. */
  readonly offset: number
  readonly bytes: Buffer
  /** Who still needs its bytes: the upload that fills it, and each batch with a record in it. */
  users: number
}

export type MemoryPool = {
  readonly shared: SharedArrayBuffer
  readonly slots: number
  free(): number
  /** So many slots, each with one user, or undefined if they are not there now or others wait already. */
  take(count: number): Slot[] | undefined
  /** So many slots, once it is this caller's turn. The caller holds no others meanwhile. */
  wait(count: number): Promise<Slot[]>
  /** Gives one use of each up; a slot without users is free again. */
  release(slots: readonly Slot[]): void
}

/**
 * Makes a pool; its memory is used by the machine only from the first use of each slot on.
 *
 * @param pool_bytes  a multiple of SLOT_BYTES
 */
export function createMemoryPool(pool_bytes: number): MemoryPool {
  assert(pool_bytes % SLOT_BYTES === 0, 'a pool is a whole number of slots')
  const shared = new SharedArrayBuffer(pool_bytes)
  const slots = pool_bytes / SLOT_BYTES
  // The last one given back is the first one taken: little memory stays in use while little is going on.
  const free: Slot[] = Array.from({ length: slots }, (_, i) => {
    const offset = (slots - 1 - i) * SLOT_BYTES
    return { offset, bytes: Buffer.from(shared, offset, SLOT_BYTES), users: 0 }
  })
  const waiting: { count: number; resolve: (slots: Slot[]) => void }[] = []

  const cut = (count: number): Slot[] => {
    const taken = count === 0 ? [] : free.splice(-count).reverse()
    for (const slot of taken) slot.users = 1
    return taken
  }

  return {
    shared,
    slots,
    free: () => free.length,
    take: count => (waiting.length > 0 || free.length < count ? undefined : cut(count)),
    wait(count) {
      assert(count <= slots, 'more than the whole pool')
      if (waiting.length === 0 && free.length >= count) return Promise.resolve(cut(count))
      return new Promise(resolve => waiting.push({ count, resolve }))
    },
    release(released) {
      for (const slot of released) {
        assert(slot.users > 0, 'a slot was given back twice')
        if (--slot.users === 0) free.push(slot)
      }
      for (let first = waiting[0]; first && free.length >= first.count; first = waiting[0]) {
        waiting.shift()
        first.resolve(cut(first.count))
      }
    },
  }
}
