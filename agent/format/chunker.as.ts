// @ts-nocheck: AssemblyScript. Compiled by scripts/build-chunker.ts into chunker.wasm; FORMAT.md, "Cutting", says what it computes.
// Memory: 0 to 2047 the gear table (256 × u64, little-endian); behind it whatever the caller read in.
// The hash at a byte depends only on the 64 bytes that end there: where reading began, or stopped, changes no cut.
// One hash in 2^22 is a cut before NORMAL bytes, one in 2^18 after, so that sizes gather around NORMAL.

const MIN: u32 = 262144
const NORMAL: u32 = 1048576
const MAX: u32 = 4194304
const WINDOW: u32 = 64
const BELOW_STRICT: u64 = (<u64>1) << 42
const BELOW_EASY: u64 = (<u64>1) << 46

// The address behind the first byte of [from, to) whose hash is under `below`; 0 if there is none.
// Eight steps written out: the loop's own work would cost a third of the speed.
function scan(from: u32, to: u32, below: u64): u32 {
  let hash: u64 = 0
  for (let i = from - WINDOW; i < from; i++) hash = (hash << 1) + load<u64>((<u32>load<u8>(i)) << 3)
  let at = from
  for (; at + 8 <= to; at += 8) {
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 0)) << 3)
    if (hash < below) return at + 1
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 1)) << 3)
    if (hash < below) return at + 2
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 2)) << 3)
    if (hash < below) return at + 3
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 3)) << 3)
    if (hash < below) return at + 4
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 4)) << 3)
    if (hash < below) return at + 5
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 5)) << 3)
    if (hash < below) return at + 6
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 6)) << 3)
    if (hash < below) return at + 7
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at, 7)) << 3)
    if (hash < below) return at + 8
  }
  for (; at < to; at++) {
    hash = (hash << 1) + load<u64>((<u32>load<u8>(at)) << 3)
    if (hash < below) return at + 1
  }
  return 0
}

/** Length of the chunk that begins at address `start`, of which `available` bytes are there; 0: more bytes are needed. */
export function cut(start: u32, available: u32, isEnd: bool): u32 {
  if (available <= MIN) return isEnd ? available : 0
  let end = scan(start + MIN, start + min(available, NORMAL), BELOW_STRICT)
  if (end != 0) return end - start
  if (available > NORMAL) {
    end = scan(start + NORMAL, start + min(available, MAX), BELOW_EASY)
    if (end != 0) return end - start
    if (available >= MAX) return MAX
  }
  return isEnd ? available : 0
}
