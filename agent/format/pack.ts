// What is inside the sealed part of a record: the plaintext, compressed if that makes it shorter, padded so that its
// length says little.   codec (u8) ‖ plaintext length (u32 LE) ‖ body length (u32 LE) ‖ body ‖ zeros up to PADMÉ
import { availableParallelism } from 'node:os'
import { BLOCK_BYTES_MAX } from '#protocol/limits.ts'
import { KIND, type Kind } from '#protocol/record.ts'
import { fault } from './errors.ts'
import { padmeBytes } from './padme.ts'
import { type Compressor, createCompressor, decompressInto } from './runtime-libraries.ts'

export const CODEC = { stored: 0, zstd: 1 } as const
export const PACK_HEADER_BYTES = 9
/** Plaintext of one page or snapshot, in bytes. */
export const PAGE_BYTES_MAX = 12 * 1024 * 1024
/** Compression of blocks unless told otherwise: the fastest level that gives away little. */
export const ZSTD_LEVEL_DEFAULT = 2

/** What is shorter is stored as it is. */
const COMPRESSED_BYTES_MIN = 32
const NO_MEMORY = Buffer.alloc(0)
/** Room for what comes out of a compressor: enough for most blocks, so that it need not be taken anew. */
const PRESS_BYTES_MIN = 2 * 1024 * 1024
/** The libuv pool has four threads. */
const COMPRESSORS_MAX = 4

/** A plaintext ready to be sealed. */
export type Packed = { readonly codec: number; readonly plain_bytes: number; readonly body: Uint8Array }

/** The longest plaintext that a record of this kind may hold, in bytes; 0 for kinds that are not sealed here. */
export const plainBytesMax = (kind: Kind): number => (kind === KIND.block ? BLOCK_BYTES_MAX : kind === KIND.page || kind === KIND.snapshot ? PAGE_BYTES_MAX : 0)

/** A plaintext that goes in as it is; the bytes are not copied. */
export const packStored = (plaintext: Uint8Array): Packed => ({ codec: CODEC.stored, plain_bytes: plaintext.length, body: plaintext })

export type Packer = {
  /**
   * Compresses; stored if that is not shorter. `plaintext` must stay unchanged until it resolves.
   *
   * @param use  gets the outcome; its body is gone when this returns, or its promise resolves
   */
  pack<Result>(plaintext: Uint8Array, use: (packed: Packed) => Result | Promise<Result>): Promise<Result>
  /** Gives the compressors' memory back, that of those at work when they are done. Nothing may be packed any more. */
  close(): void
}

type Press = { readonly compressor: Compressor; target: Buffer }

/**
 * Compressors that are used again and again, each on its own thread of the libuv pool and with memory of its own for what
 * comes out. What comes while all are busy waits in line.
 *
 * @param level  of zstd: 1 to 19, or below 0
 */
export function createPacker(level: number = ZSTD_LEVEL_DEFAULT, atOnce: number = Math.min(COMPRESSORS_MAX, availableParallelism())): Packer {
  const idle: Press[] = Array.from({ length: atOnce }, () => ({ compressor: createCompressor(level), target: NO_MEMORY }))
  const waiting: ((press: Press) => void)[] = []
  let isClosed = false
  const giveBack = (press: Press): void => {
    const next = waiting.shift()
    if (next) next(press)
    else if (isClosed) press.compressor.free()
    else idle.push(press)
  }
  const compress = async (press: Press, plaintext: Uint8Array): Promise<Packed> => {
    // Only what is written to becomes real memory.
    if (press.target.length < plaintext.length) press.target = Buffer.allocUnsafeSlow(Math.max(PRESS_BYTES_MIN, plaintext.length))
    const body_bytes = await press.compressor.compress(plaintext, press.target.subarray(0, plaintext.length - 1))
    return body_bytes === undefined ? packStored(plaintext) : { codec: CODEC.zstd, plain_bytes: plaintext.length, body: press.target.subarray(0, body_bytes) }
  }
  return {
    async pack(plaintext, use) {
      if (plaintext.length < COMPRESSED_BYTES_MIN) return use(packStored(plaintext))
      // Begins at once if one is idle: what follows here may block its thread for a while.
      const press = idle.pop() ?? (await new Promise<Press>(resolve => waiting.push(resolve)))
      try {
        return await use(await compress(press, plaintext))
      } finally {
        giveBack(press)
      }
    },
    close: () => {
      isClosed = true
      for (const { compressor } of idle.splice(0)) compressor.free()
    },
  }
}

/** Compresses once, with a compressor of its own; stored if that is not shorter. */
export async function pack(plaintext: Uint8Array, level?: number): Promise<Packed> {
  const packer = createPacker(level, 1)
  try {
    return await packer.pack(plaintext, packed => ({ ...packed, body: Uint8Array.from(packed.body) }))
  } finally {
    packer.close()
  }
}

/** The padded length of what is inside the sealed part, in bytes. */
export const packedBytes = (packed: Packed): number => padmeBytes(PACK_HEADER_BYTES + packed.body.length)

/** The pieces that make up the inside: header, body, zeros; packedBytes() together. */
export function piecesOfPacked(packed: Packed): [Buffer, Uint8Array, Buffer] {
  const head = Buffer.alloc(PACK_HEADER_BYTES)
  head.writeUInt8(packed.codec, 0)
  head.writeUInt32LE(packed.plain_bytes, 1)
  head.writeUInt32LE(packed.body.length, 5)
  return [head, packed.body, Buffer.alloc(packedBytes(packed) - PACK_HEADER_BYTES - packed.body.length)]
}

/**
 * Takes the inside of a sealed part apart, believing nothing; the body is a view.
 *
 * @param bytes_max  the longest plaintext that is accepted
 * @throws RECORD_CONTENT_WRONG  unknown codec, lengths that do not fit, padding of another length or not zero
 */
export function parsePacked(inside: Buffer, bytes_max: number): Packed {
  const wrong = (expected: string, found: string): Error => fault('RECORD_CONTENT_WRONG', { expected, found })
  if (inside.length < PACK_HEADER_BYTES) throw wrong(`at least ${PACK_HEADER_BYTES} bytes`, `${inside.length}`)
  const codec = inside.readUInt8(0)
  const plain_bytes = inside.readUInt32LE(1)
  const body_bytes = inside.readUInt32LE(5)
  if (codec !== CODEC.stored && codec !== CODEC.zstd) throw wrong('codec 0 or 1', `${codec}`)
  if (plain_bytes > bytes_max) throw wrong(`at most ${bytes_max} bytes of content`, `${plain_bytes}`)
  const isBodyFitting = codec === CODEC.stored ? body_bytes === plain_bytes : body_bytes < plain_bytes
  if (!isBodyFitting || inside.length !== padmeBytes(PACK_HEADER_BYTES + body_bytes))
    throw wrong('lengths that fit together', `${body_bytes} of ${inside.length} bytes`)
  for (let at = PACK_HEADER_BYTES + body_bytes; at < inside.length; at++) if (inside[at] !== 0) throw wrong('zeros as padding', `a byte that is not, at ${at}`)
  return { codec, plain_bytes, body: inside.subarray(PACK_HEADER_BYTES, PACK_HEADER_BYTES + body_bytes) }
}

/**
 * The plaintext; a view into the body if that was stored.
 *
 * @param room  memory for it, if that is long enough; by default new
 * @throws RECORD_CONTENT_WRONG  the body does not decompress to exactly the declared length
 */
export function unpack(packed: Packed, room: Buffer = NO_MEMORY): Buffer {
  const { codec, plain_bytes, body } = packed
  if (codec === CODEC.stored) return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const plaintext = room.length >= plain_bytes ? room.subarray(0, plain_bytes) : Buffer.allocUnsafeSlow(plain_bytes)
  if (decompressInto(body, plaintext) === plain_bytes) return plaintext
  throw fault('RECORD_CONTENT_WRONG', { expected: `${plain_bytes} bytes of content`, found: 'a body that does not decompress to that' })
}
