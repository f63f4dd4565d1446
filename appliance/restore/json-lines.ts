// One JSON object a line, over a pipe between two processes; a line that is too long is refused before it is whole.
import { Check, type Static, type TSchema } from '#protocol/typebox.js'
import { fault } from './errors.ts'

const LINE_FEED = 0x0a

/** The bytes of one message. */
export const lineOf = (message: unknown): string => `${JSON.stringify(message)}\n`

/**
 * Reads line by line, until the stream ends.
 *
 * @param bytes_max  of one line; asked at each
 * @throws ORDER_INVALID  a line that is longer, or no JSON
 */
export async function* readLines(stream: AsyncIterable<Buffer>, bytes_max: () => number): AsyncGenerator<unknown> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const part of stream) {
    let rest = part
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      parts.push(rest.subarray(0, end))
      rest = rest.subarray(end + 1)
      yield parsed(Buffer.concat(parts).toString('utf8'))
      parts = []
      bytes = 0
    }
    bytes += rest.length
    if (bytes > bytes_max()) throw fault('ORDER_INVALID', { expected: `a line of at most ${bytes_max()} bytes`, found: 'a longer one' })
    if (rest.length > 0) parts.push(rest)
  }
}

/** @throws ORDER_INVALID  a message of another shape */
export function checked<Schema extends TSchema>(schema: Schema, message: unknown): Static<Schema> {
  if (!Check(schema, message)) throw fault('ORDER_INVALID', { found: 'a message of another shape' })
  return message
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line) as unknown
  } catch (cause) {
    // Without its cause's text, which has the line in it.
    throw fault('ORDER_INVALID', { expected: 'JSON', found: `something else (${cause instanceof Error ? cause.name : 'error'})` })
  }
}
