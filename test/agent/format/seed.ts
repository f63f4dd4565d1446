// Random tests take their seed from SEED, and say it, so that a failure can be had again.
import { randomInt } from 'node:crypto'
import fc from 'fast-check'

export const SEED = process.env['SEED'] === undefined ? randomInt(2 ** 31) : Number(process.env['SEED'])
console.error(`SEED=${SEED}`)

/** Runs a property `numRuns` times from the seed. */
export const check = <Ts>(property: fc.IRawProperty<Ts>, numRuns: number): void => {
  fc.assert(property as fc.IProperty<Ts>, { seed: SEED, numRuns })
}

/** Bytes that are the same for the same seed (xorshift32). */
export function seededBytes(length: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = (seed | 0) === 0 ? 1 : seed | 0
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  return Buffer.from(words.buffer, 0, length)
}
