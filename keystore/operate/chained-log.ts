// Logs whose lines are chained by hashes: the authority's audit log, and our list of erased slots. Nothing can be taken out,
// put in or changed without the chain breaking; what was cut off at the end can be seen by nobody but who knows how many
// lines there were. Each line is a JSON object whose last member is its hash:
// hash = SHA-256(hash of the line before (hex) ‖ the line without its hash, as JSON)
import { hash } from 'node:crypto'
import { fault } from './errors.ts'
import { eachLine } from './log-lines.ts'

const NO_HASH = '0'.repeat(64)
const HASH_MARK = ',"hash":"'
const HASH_CHARS = 64
const AFTER_BODY_CHARS = HASH_MARK.length + HASH_CHARS + '"}'.length

export type Chain = {
  /** Hash of the last line. */
  readonly last: string
  readonly lines: number
  /** Bytes of whole lines: what comes after was cut short by a crash, and what it speaks of was not done. */
  readonly whole_bytes: number
}

/** The next line of a chain, with its end. @param last hash of the line before; undefined for the first */
export function chainedLine(last: string | undefined, body: object): { line: string; hash: string } {
  const text = JSON.stringify(body)
  const hash = hashOf(last ?? NO_HASH, text)
  return { line: `${text.slice(0, -1)}${HASH_MARK}${hash}"}\n`, hash }
}

/**
 * Reads a log and checks its chain.
 *
 * @param visit  called with each line's text (JSON) and where it begins
 * @throws LOG_BROKEN, naming the first line that does not fit; LOG_UNREADABLE
 */
export async function readChained(file: string, visit: (text: string, offset: number) => void): Promise<Chain> {
  let [last, lines, whole_bytes] = [NO_HASH, 0, 0]
  await eachLine(file, (line, offset, isWhole) => {
    if (!isWhole) return
    const text = line.toString('utf8')
    const hash = text.slice(-HASH_CHARS - 2, -2)
    const body = `${text.slice(0, -AFTER_BODY_CHARS)}}`
    if (!text.endsWith(`${HASH_MARK}${hash}"}`) || hash !== hashOf(last, body))
      throw fault('LOG_BROKEN', { found: `line ${lines + 1} of ${file} does not follow from the lines before` })
    visit(text, offset)
    last = hash
    lines++
    whole_bytes = offset + line.length + 1
  })
  return { last, lines, whole_bytes }
}

const hashOf = (last: string, text: string): string => hash('sha256', last + text)
