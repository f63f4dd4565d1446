// @ts-nocheck: AssemblyScript. Compiled by scripts/build-chunker.ts into path-hash.wasm.
// oxlint-disable no-loss-of-precision: these are 64-bit numbers
// SipHash-2-4 of the bytes at MESSAGE, keyed by the 16 bytes at 0. A call into a native addon would cost four times as
// much, which counts when a million paths are hashed.

const MESSAGE: u32 = 16

/** The low 32 bits of the hash of `length` bytes. The 8 bytes behind them are overwritten. */
export function hash(length: u32): u32 {
  let v0: u64 = load<u64>(0) ^ 0x736f6d6570736575
  let v1: u64 = load<u64>(8) ^ 0x646f72616e646f6d
  let v2: u64 = load<u64>(0) ^ 0x6c7967656e657261
  let v3: u64 = load<u64>(8) ^ 0x7465646279746573
  store<u64>(MESSAGE + length, 0)
  const words: u32 = length >>> 3
  // Two rounds for each word, the last of which has the length in its top byte; then four to end with.
  for (let i: u32 = 0; i <= words + 1; i++) {
    let word: u64 = 0
    let rounds: u32 = 2
    if (i > words) {
      v2 ^= 0xff
      rounds = 4
    } else {
      word = load<u64>(MESSAGE + (i << 3))
      if (i == words) word |= (<u64>length) << 56
      v3 ^= word
    }
    for (let round: u32 = 0; round < rounds; round++) {
      v0 += v1
      v1 = rotl<u64>(v1, 13) ^ v0
      v0 = rotl<u64>(v0, 32)
      v2 += v3
      v3 = rotl<u64>(v3, 16) ^ v2
      v0 += v3
      v3 = rotl<u64>(v3, 21) ^ v0
      v2 += v1
      v1 = rotl<u64>(v1, 17) ^ v2
      v2 = rotl<u64>(v2, 32)
    }
    v0 ^= word
  }
  return <u32>(v0 ^ v1 ^ v2 ^ v3)
}
