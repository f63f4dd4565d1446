// @ts-nocheck: AssemblyScript. Compiled by scripts/build-chunker.ts into chunker.wasm; FORMAT.md, "Cutting", says what it computes.
// Memory: 0 to 2047 the gear table (256 × u64, little-endian); behind it whatever the caller read in.
// The hash at a byte depends only on the 64 bytes that end there: where reading began, or stopped, changes no cut.
// Past MIN one hash in 2^19 is a cut, whatever the distance. (Making cuts rarer at first and more frequent later, so that
// sizes gather around their average, costs finds in content that repeats: the same bytes then are a cut or not by where
// the chunk before began. Measured with periods of 0.3 to 3 MB: 1.12 to 1.19 times the ideal stored, instead of 1.17 to 1.49.)

const MIN: u32 = 262144
const MAX: u32 = 2097152
const WINDOW: u32 = 64
const BELOW: u64 = (<u64>1) << 45

// The address behind the first byte of [from, to) whose hash is under BELOW; 0 if there is none.
// Eight steps written out: the loop's own work would cost a third of the speed.
function scan(from: u32, to: u32): u32 {
  let hash: u64 = 0
  for (let i = from - WINDOW; i < from; i++) hash = (hash << 1) + load<u64>((<u32>load<u8>(i)) << 3)
  let at = from
  for (; at + 8 <= to; at += 8) {
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 0)) << 3)
    if (hash < BELOW) return at + 1
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 1)) << 3)
    if (hash < BELOW) return at + 2
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 2)) << 3)
    if (hash < BELOW) return at + 3
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 3)) << 3)
    if (hash < BELOW) return at + 4
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 4)) << 3)
    if (hash < BELOW) return at + 5
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 5)) << 3)
    if (hash < BELOW) return at + 6
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 6)) << 3)
    if (hash < BELOW) return at + 7
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 7)) << 3)
    if (hash < BELOW) return at + 8
  }
  for (; at < to; at++) {
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at)) << 3)
    if (hash < BELOW) return at + 1
  }
  return 0
}

/** Length of the chunk that begins at address `start`, of which `available` bytes are there; 0: more bytes are needed. */
export function cut(start: u32, available: u32, isEnd: bool): u32 {
  if (available <= MIN) return isEnd ? available : 0
  const end = scan(start + MIN, start + min(available, MAX))
  if (end != 0) return end - start
  return available >= MAX ? MAX : isEnd ? available : 0
}
