// What a session has uploaded or asked about, so that garbage collection leaves it alone until the session ends.
// A lease is a growing Bloom filter. Invariants:
//   it never says "not held" of an id that was held (it may say "held" of others: then something is removed later);
//   its memory is bounded, however many ids it holds.
import { ID_BYTES } from '#protocol/record.ts'

/** Layers of the filter, in bytes: each begins when the one before has 16 bits an id no more. */
const LAYERS_BYTES = [8 * 1024, 64 * 1024, 512 * 1024] as const
/** What one lease may grow to, in bytes. */
export const LEASE_BYTES_MAX: number = LAYERS_BYTES.reduce((sum, bytes) => sum + bytes, 0)
const BITS_AN_ID = 16

export type Lease = { readonly layers: Uint8Array[]; ids: number }

/** A lease that holds nothing. */
export const createLease = (): Lease => ({ layers: [], ids: 0 })

/**
 * Holds ids until the lease is dropped.
 *
 * @param joined  ids of 32 bytes each, one behind another
 */
export function hold(lease: Lease, joined: Buffer): void {
  for (let at = 0; at + ID_BYTES <= joined.length; at += ID_BYTES) {
    const layer = layerFor(lease)
    const bits = layer.length * 8
    for (let word = 0; word < 4; word++) {
      const bit = joined.readUInt32LE(at + word * 4) % bits
      layer[bit >>> 3] = (layer[bit >>> 3] as number) | (1 << (bit & 7))
    }
    lease.ids++
  }
}

/** Whether an id may be held: never false for one that is. */
export function isHeld(lease: Lease, id: Buffer): boolean {
  return lease.layers.some(layer => {
    const bits = layer.length * 8
    for (let word = 0; word < 4; word++) {
      const bit = id.readUInt32LE(word * 4) % bits
      if (((layer[bit >>> 3] as number) & (1 << (bit & 7))) === 0) return false
    }
    return true
  })
}

function layerFor(lease: Lease): Uint8Array {
  let capacity = 0
  for (const [i, bytes] of LAYERS_BYTES.entries()) {
    capacity += (bytes * 8) / BITS_AN_ID
    if (lease.ids < capacity || i === LAYERS_BYTES.length - 1) return (lease.layers[i] ??= new Uint8Array(bytes))
  }
  throw new Error('a lease has at least one layer')
}
