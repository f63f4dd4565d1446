// What is inside the sealed part of a record: the plaintext, compressed if that makes it shorter, padded so that its
// length says little.   codec (u8) ‖ plaintext length (u32 LE) ‖ body length (u32 LE) ‖ body ‖ zeros up to PADMÉ
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { constants, createZstdCompress, type ZstdCompress, zstdDecompress, zstdDecompressSync } from 'node:zlib'
import { BLOCK_BYTES_MAX } from '#protocol/limits.ts'
import { KIND, type Kind } from '#protocol/record.ts'
import { discard } from './discard.ts'
import { fault } from './errors.ts'
import { padmeBytes } from './padme.ts'

export const CODEC = { stored: 0, zstd: 1 } as const
export const PACK_HEADER_BYTES = 9
/** Plaintext of one page or snapshot, in bytes. */
export const PAGE_BYTES_MAX = 12 * 1024 * 1024
/** Compression of blocks unless told otherwise: the fastest level that gives away little. */
export const ZSTD_LEVEL_DEFAULT = 2

// No window larger than what we write is accepted, whatever the frame says.
const WINDOW_LOG_MAX = 24
// The output of a compressor lies in buffers of this length: as long as one has room for a whole block, zstd writes into it
// without copies of its own.
const PIECE_BYTES = 1 * 1024 * 1024
/** The libuv pool has four threads. */
const COMPRESSORS_MAX = 4

/** A plaintext ready to be sealed. */
export type Packed = { readonly codec: number; readonly plain_bytes: number; readonly body: Uint8Array }

/** The longest plaintext that a record of this kind may hold, in bytes; 0 for kinds that are not sealed here. */
export const plainBytesMax = (kind: Kind): number => (kind === KIND.block ? BLOCK_BYTES_MAX : kind === KIND.page || kind === KIND.snapshot ? PAGE_BYTES_MAX : 0)

/** A plaintext that goes in as it is; the bytes are not copied. */
export const packStored = (plaintext: Uint8Array): Packed => ({ codec: CODEC.stored, plain_bytes: plaintext.length, body: plaintext })

const decompress = promisify(zstdDecompress)

export type Packer = {
  /**
   * Compresses; stored if that is not shorter. `plaintext` must stay unchanged until it resolves.
   *
   * @param use  gets the outcome; its body is gone when this returns
   */
  pack<Result>(plaintext: Uint8Array, use: (packed: Packed) => Result): Promise<Result>
  /** Gives the compressors' memory back. */
  close(): void
}

/**
 * Compressors that are used again and again, each on its own thread of the libuv pool: a new one for each block would cost
 * its memory, and collections of the runtime's garbage, each time. What comes while all are busy waits in line.
 *
 * @param level  of zstd: 1 to 19, or -2 and below (Node takes -1 for "not given")
 */
export function createPacker(level: number = ZSTD_LEVEL_DEFAULT, atOnce: number = Math.min(COMPRESSORS_MAX, availableParallelism())): Packer {
  const all = Array.from({ length: atOnce }, () => createCompressor(level))
  const idle = [...all]
  const waiting: ((compress: Compressor) => void)[] = []
  return {
    async pack(plaintext, use) {
      const bytes = plaintext.length
      if (bytes < 32) return use(packStored(plaintext))
      // Begins at once if one is idle: what follows here may block its thread for a while.
      const compressor = idle.pop() ?? (await new Promise<Compressor>(resolve => waiting.push(resolve)))
      try {
        const body = await compressor.compress(plaintext)
        return use(body.length < bytes ? { codec: CODEC.zstd, plain_bytes: bytes, body } : packStored(plaintext))
      } finally {
        const next = waiting.shift()
        if (next) next(compressor)
        else idle.push(compressor)
      }
    },
    close: () => {
      for (const { stream } of all) stream.destroy()
    },
  }
}

type Compressor = { readonly stream: ZstdCompress; compress(plaintext: Uint8Array): Promise<Buffer> }

/** One zstd context; each write is one frame. What compress() gives lasts until it is called again. */
function createCompressor(level: number): Compressor {
  const stream = createZstdCompress({ chunkSize: PIECE_BYTES, flush: constants.ZSTD_e_end, params: { [constants.ZSTD_c_compressionLevel]: level } })
  const pieces: Buffer[] = []
  let body: Buffer = Buffer.alloc(0)
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  // Told to who waits, by the callback of the write.
  stream.on('error', () => {})
  return {
    stream,
    compress: plaintext =>
      new Promise((resolve, reject) => {
        const [old] = pieces.splice(0)
        // A copy, because it lay in two buffers.
        if (old && body.buffer !== old.buffer) discard(body)
        stream.write(plaintext, error => {
          if (error) return reject(error)
          if (old && pieces[0] && old.buffer !== pieces[0].buffer) discard(old)
          body = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
          // Output goes into one buffer until that is full: then it is not written to any more.
          for (const full of pieces.splice(0, pieces.length - 1)) discard(full)
          resolve(body)
        })
      }),
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

// One byte more than declared is room enough to see that there is more than declared.
const unzstdOptions = (packed: Packed): object => ({
  chunkSize: Math.max(64, packed.plain_bytes + 1),
  maxOutputLength: Math.max(1, packed.plain_bytes),
  params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
})

/**
 * The plaintext; a view into the body if that was stored.
 *
 * @throws RECORD_CONTENT_WRONG  the body does not decompress to exactly the declared length
 */
export function unpack(packed: Packed): Buffer {
  if (packed.codec === CODEC.stored) return viewOf(packed.body)
  try {
    return checkedLength(zstdDecompressSync(packed.body, unzstdOptions(packed)), packed)
  } catch (cause) {
    throw unpackFault(packed, cause)
  }
}

/** unpack() that decompresses on the libuv pool. Same errors. */
export async function unpackAside(packed: Packed): Promise<Buffer> {
  if (packed.codec === CODEC.stored) return viewOf(packed.body)
  try {
    return checkedLength(await decompress(packed.body, unzstdOptions(packed)), packed)
  } catch (cause) {
    throw unpackFault(packed, cause)
  }
}

const viewOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function checkedLength(plaintext: Buffer, packed: Packed): Buffer {
  if (plaintext.length !== packed.plain_bytes) throw new RangeError(`${plaintext.length} bytes`)
  return plaintext
}

const unpackFault = (packed: Packed, cause: unknown): Error =>
  fault('RECORD_CONTENT_WRONG', { expected: `${packed.plain_bytes} bytes of content`, found: 'a body that does not decompress to that', cause })
