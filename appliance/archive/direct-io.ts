// Long writes and reads past the page cache. What is backed up is seldom read soon, and then once: kept in the cache it
// would push out the index, and taking pages for it and writing them back costs more than everything else that is done to
// an upload (measured: 1 GiB and one flush 2.9 s, past the cache 0.5 s). Invariants:
//   the same bytes end up at the same places, and the file is as long, as by plain writes; `datasync` makes both durable;
//   whole blocks go directly; what is left behind the last of them goes through the cache, whose copy of a block is given up
//   by the system when the block is written directly later. Nobody reads or writes those places at the same time.
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** Shorter writes and reads cost less through the cache. */
export const DIRECT_BYTES_MIN = 256 * 1024
/** Offsets and lengths are multiples of this: enough for every disk. */
const BLOCK_BYTES = 4096
/** For each call of the system: a mebibyte wherever it begins. */
const STAGE_BYTES = 1024 * 1024 + 2 * BLOCK_BYTES
const STAGES_MAX = 8
const WASM_PAGE_BYTES = 65_536

/** The memory of a WebAssembly instance begins at a page of the machine, which the system asks for here. Real only where it is used. */
const memory = new WebAssembly.Memory({
  initial: Math.ceil((STAGES_MAX * STAGE_BYTES) / WASM_PAGE_BYTES),
  maximum: Math.ceil((STAGES_MAX * STAGE_BYTES) / WASM_PAGE_BYTES),
})
const free = Array.from({ length: STAGES_MAX }, (_, i) => Buffer.from(memory.buffer, (STAGES_MAX - 1 - i) * STAGE_BYTES, STAGE_BYTES))
const waiting: ((stage: Buffer<ArrayBuffer>) => void)[] = []

const takeStage = (): Buffer<ArrayBuffer> | Promise<Buffer<ArrayBuffer>> => free.pop() ?? new Promise(resolve => waiting.push(resolve))

function giveStage(stage: Buffer<ArrayBuffer>): void {
  const next = waiting.shift()
  if (next) next(stage)
  else free.push(stage)
}

/** Opens an existing file for direct writes, or reads; undefined where the file system has none. */
export async function openDirect(path: string, mode: 'write' | 'read'): Promise<FileHandle | undefined> {
  if (constants.O_DIRECT === undefined) return undefined
  try {
    return await open(path, constants.O_DIRECT | (mode === 'write' ? constants.O_WRONLY : constants.O_RDONLY))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined
    throw error
  }
}

/**
 * Writes pieces behind one another.
 *
 * @param cached  the same file, opened for reading and writing through the cache
 * @throws        errors of the system; a part may have been written
 */
export async function writeDirectly(direct: FileHandle, cached: FileHandle, pieces: readonly Uint8Array[], position: number): Promise<void> {
  const stage = await takeStage()
  try {
    let at = position - (position % BLOCK_BYTES)
    let filled = position - at
    if (filled > 0 && (await cached.read(stage, 0, filled, at)).bytesRead !== filled) throw new Error('the file is shorter than what was written')
    for (const piece of pieces) {
      for (let from = 0; from < piece.length; ) {
        const taken = Math.min(piece.length - from, STAGE_BYTES - filled)
        stage.set(piece.subarray(from, from + taken), filled)
        filled += taken
        from += taken
        if (filled < STAGE_BYTES) continue
        await writeBlocks(direct, cached, stage, at)
        at += STAGE_BYTES
        filled = 0
      }
    }
    const whole_bytes = filled - (filled % BLOCK_BYTES)
    if (whole_bytes > 0) await writeBlocks(direct, cached, stage.subarray(0, whole_bytes), at)
    if (filled > whole_bytes) await writeCached(cached, stage.subarray(whole_bytes, filled), at + whole_bytes)
  } finally {
    giveStage(stage)
  }
}

/** After a short write the rest goes through the cache, so that the reason (a full disk) comes out as an error. */
async function writeBlocks(direct: FileHandle, cached: FileHandle, blocks: Buffer, at: number): Promise<void> {
  const { bytesWritten } = await direct.write(blocks, 0, blocks.length, at)
  if (bytesWritten < blocks.length) await writeCached(cached, blocks.subarray(bytesWritten), at + bytesWritten)
}

async function writeCached(cached: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await cached.write(bytes, done, bytes.length - done, at + done)).bytesWritten
}

/**
 * Reads up to target.length bytes; fewer only at the end of the file.
 *
 * @throws  errors of the system
 */
export async function readDirectly(direct: FileHandle, target: Buffer, position: number): Promise<number> {
  const stage = await takeStage()
  try {
    let done = 0
    while (done < target.length) {
      const at = position + done
      const begin = at - (at % BLOCK_BYTES)
      const wanted = Math.min(Math.ceil((position + target.length - begin) / BLOCK_BYTES) * BLOCK_BYTES, STAGE_BYTES)
      const { bytesRead } = await direct.read(stage, 0, wanted, begin)
      const usable = Math.min(bytesRead - (at - begin), target.length - done)
      if (usable <= 0) break
      stage.copy(target, done, at - begin, at - begin + usable)
      done += usable
    }
    return done
  } finally {
    giveStage(stage)
  }
}
