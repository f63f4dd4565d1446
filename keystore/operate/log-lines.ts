// The lines of a log of any length, without the log in memory.
import { open } from 'node:fs/promises'
import { fault } from './errors.ts'

const PART_BYTES = 4 * 1024 * 1024
const LINE_BYTES_MAX = 64 * 1024 * 1024
const ONE_LINE_BYTES_MAX = 64 * 1024
const LINE_FEED = 0x0a

/**
 * Called with each line, without its end.
 *
 * @param line     good until this returns
 * @param offset   where it begins in the file, in bytes
 * @param isWhole  false for a last line that has no end
 */
export type Visit = (line: Buffer, offset: number, isWhole: boolean) => void

/**
 * Reads a file to the end that it has by then.
 *
 * @param from_bytes  where to begin; in the middle of a line, the first one is the rest of that
 * @throws LOG_UNREADABLE
 */
export async function eachLine(file: string, visit: Visit, from_bytes = 0): Promise<void> {
  const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
    throw fault('LOG_UNREADABLE', { found: `${file}: ${error.code ?? 'an error'}`, cause: error })
  })
  try {
    let buffer = Buffer.allocUnsafe(PART_BYTES)
    let [held, offset] = [0, from_bytes]
    for (;;) {
      if (held === buffer.length) {
        if (held * 2 > LINE_BYTES_MAX)
          throw fault('LOG_UNREADABLE', { expected: `lines of at most ${LINE_BYTES_MAX} bytes`, found: `a longer one at byte ${offset} of ${file}` })
        const longer = Buffer.allocUnsafe(held * 2)
        buffer.copy(longer)
        buffer = longer
      }
      const { bytesRead } = await handle.read(buffer, held, buffer.length - held, offset + held)
      if (bytesRead === 0) break
      const filled = held + bytesRead
      let begin = 0
      for (let end = buffer.indexOf(LINE_FEED, held); end >= 0 && end < filled; end = buffer.indexOf(LINE_FEED, begin)) {
        visit(buffer.subarray(begin, end), offset + begin, true)
        begin = end + 1
      }
      buffer.copyWithin(0, begin, filled)
      held = filled - begin
      offset += begin
    }
    if (held > 0) visit(buffer.subarray(0, held), offset, false)
  } finally {
    await handle.close()
  }
}

/** Reads single lines of a file, by where they begin. */
export async function withLines<Result>(file: string, use: (lineAt: (offset: number) => Promise<string>) => Promise<Result>): Promise<Result> {
  const handle = await open(file)
  const buffer = Buffer.alloc(ONE_LINE_BYTES_MAX)
  try {
    return await use(async offset => {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset)
      const end = buffer.subarray(0, bytesRead).indexOf(LINE_FEED)
      return buffer.toString('utf8', 0, end < 0 ? bytesRead : end)
    })
  } finally {
    await handle.close()
  }
}
