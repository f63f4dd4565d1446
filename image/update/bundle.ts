// A release as one stream of bytes: the two lines of its manifest, then root, hashes and UKI. Read in one pass, so
// nothing of it has to be kept. What comes is untrusted: the lines are bounded, and behind them the manifest says how much
// there is. UPDATE.md, "The manifest".
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isFault } from '#protocol/fault.ts'
import { fault } from './errors.ts'
import { ARTIFACTS, MANIFEST_BYTES_MAX } from './manifest.ts'
import { PIECE_BYTES } from './media.ts'
import { openRegular } from './regular-file.ts'
import { releaseNames } from './release.ts'

const LINE_END = 0x0a

export type Bundle = {
  /** Both lines of the manifest. Asked for first. @throws UPDATE_INVALID, UPDATE_DAMAGED */
  head(): Promise<Buffer>
  /** The next so many bytes, in pieces. @throws UPDATE_DAMAGED */
  take(bytes: number): AsyncGenerator<Uint8Array>
  /** There is nothing more. @throws UPDATE_DAMAGED */
  end(): Promise<void>
}

/** Reads a bundle from whatever it comes in. */
export function readBundle(source: AsyncIterable<Uint8Array>): Bundle {
  const pieces = source[Symbol.asyncIterator]()
  let rest: Uint8Array = Buffer.alloc(0)

  /** Fills `rest` if it is empty; false at the end. */
  const fill = async (): Promise<boolean> => {
    while (rest.length === 0) {
      const next = await pieces.next().catch((cause: unknown) => {
        throw isFault(cause) ? cause : fault('UPDATE_DAMAGED', { found: 'a source that broke off', cause })
      })
      if (next.done === true) return false
      rest = next.value
    }
    return true
  }

  return {
    async head() {
      const parts: Buffer[] = []
      let bytes = 0
      for (let lines = 0; lines < 2; ) {
        if (!(await fill())) throw fault('UPDATE_INVALID', { expected: 'a manifest and its signature', found: 'the end' })
        const end = rest.indexOf(LINE_END)
        const taken = end === -1 ? rest.length : end + 1
        bytes += taken
        if (bytes > MANIFEST_BYTES_MAX) throw fault('UPDATE_INVALID', { expected: `a manifest of at most ${MANIFEST_BYTES_MAX} bytes`, found: 'more' })
        parts.push(Buffer.from(rest.subarray(0, taken)))
        rest = rest.subarray(taken)
        if (end !== -1) lines++
      }
      return Buffer.concat(parts)
    },
    async *take(bytes) {
      for (let left = bytes; left > 0; ) {
        if (!(await fill())) throw fault('UPDATE_DAMAGED', { expected: `${left} bytes more`, found: 'the end' })
        const piece = rest.subarray(0, left)
        rest = rest.subarray(piece.length)
        left -= piece.length
        yield piece
      }
    },
    async end() {
      if (await fill()) throw fault('UPDATE_DAMAGED', { expected: 'the end', found: 'more than the manifest says' })
    },
  }
}

const BUNDLE = /^holdfast_([1-9]\d{0,8})\.(update|manifest)$/
const highestOf = (names: readonly string[]): number => Math.max(0, ...names.map(name => Number(BUNDLE.exec(name)?.[1] ?? 0)))

/** Whether a folder has a release. */
export const hasRelease = async (folder: string): Promise<boolean> => highestOf(await readdir(folder)) > 0

/**
 * The bundle of the highest version in a folder, which has it as one file or as four.
 *
 * @throws UPDATE_NONE
 */
export async function* readFolder(folder: string): AsyncGenerator<Uint8Array> {
  const names = await readdir(folder)
  const version = highestOf(names)
  if (version === 0) throw fault('UPDATE_NONE')
  const { bundle, ...parts } = releaseNames(version)
  const files = names.includes(bundle) ? [bundle] : [parts.manifest, ...ARTIFACTS.map(name => parts[name])]
  for (const file of files) yield* readRegular(join(folder, file))
}

async function* readRegular(path: string): AsyncGenerator<Uint8Array> {
  const handle = await openRegular(path).catch((cause: unknown) => {
    throw fault('UPDATE_NONE', { expected: `the file ${path}`, found: 'none that can be read', cause })
  })
  try {
    yield* handle.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false }) as AsyncIterable<Buffer>
  } finally {
    await handle.close()
  }
}
