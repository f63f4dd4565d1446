// A compact map from ids to locations, for reading an archive without its index. Ids are uniform (they are keyed hashes),
// so their first bytes are their own hash; 12 of the 32 are kept, which no two ids of one archive share.
import { type Location } from './location.ts'

export type LocationMap = {
  readonly count: number
  /** When an id is added twice, the later location wins. */
  add(id: Buffer, location: Location): void
  find(id: Buffer): Location | undefined
}

/** Slot: three words of the id, segment (0: empty), offset, length. */
const SLOT_WORDS = 6
const SLOTS_MIN = 1024
const LOAD_MAX = 0.7

/** An empty map; about 24 to 70 bytes of memory a record, all of it in one typed array. */
export function createLocationMap(): LocationMap {
  let slots = new Uint32Array(SLOTS_MIN * SLOT_WORDS)
  let count = 0

  /** Where the id's slot is, or where it would go. */
  function slotOf(words: Uint32Array, a: number, b: number, c: number): number {
    const mask = words.length / SLOT_WORDS - 1
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      const at = slot * SLOT_WORDS
      if (words[at + 3] === 0 || (words[at] === a && words[at + 1] === b && words[at + 2] === c)) return at
    }
  }
  function grow(): void {
    const larger = new Uint32Array(slots.length * 2)
    for (let at = 0; at < slots.length; at += SLOT_WORDS) {
      if (slots[at + 3] === 0) continue
      larger.set(slots.subarray(at, at + SLOT_WORDS), slotOf(larger, slots[at] as number, slots[at + 1] as number, slots[at + 2] as number))
    }
    slots = larger
  }
  return {
    get count() {
      return count
    },
    add(id, { segment, offset, length }) {
      if (count + 1 > (slots.length / SLOT_WORDS) * LOAD_MAX) grow()
      const [a, b, c] = [id.readUInt32LE(0), id.readUInt32LE(4), id.readUInt32LE(8)]
      const at = slotOf(slots, a, b, c)
      if (slots[at + 3] === 0) count++
      slots.set([a, b, c, segment, offset, length], at)
    },
    find(id) {
      const at = slotOf(slots, id.readUInt32LE(0), id.readUInt32LE(4), id.readUInt32LE(8))
      const segment = slots[at + 3] as number
      return segment === 0 ? undefined : { segment, offset: slots[at + 4] as number, length: slots[at + 5] as number }
    },
  }
}
