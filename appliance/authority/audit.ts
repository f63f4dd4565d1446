// The audit log: one line of JSON an act, chained by hashes, durable before the act. Invariants:
//   record() resolves only when its line survives a power cut; if it can't be written, the act is not done;
//   each line has the hash of the line before: nothing can be taken out, put in or changed without the chain breaking;
//   no secret is ever in a line.
// hash = SHA-256(hash of the line before (hex) ‖ the line without its hash, as JSON)
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fault } from './errors.ts'

export type Act = {
  /** What is about to be done, for example 'device.pair'. */
  readonly act: string
  /** Who does it: 'admin', a user, a device. */
  readonly who: string
  readonly facts?: Readonly<Record<string, string | number | boolean | null>>
}

export type Audit = { record(act: Act): Promise<void>; close(): Promise<void> }

const NO_HASH = '0'.repeat(64)

/** Opens the log; a line that a crash cut short is cut off (what it spoke of was not done). @throws AUDIT_BROKEN */
export async function openAudit(file: string, now: () => number): Promise<Audit> {
  const { last, lines, whole_bytes } = await checkAudit(file)
  const handle = await open(file, 'a+', 0o600)
  const { size } = await handle.stat()
  if (size > whole_bytes) await handle.truncate(whole_bytes)
  let previous = last
  let number = lines
  let writing: Promise<void> = Promise.resolve()
  return {
    record({ act, who, facts }) {
      const mine = writing.then(async () => {
        const body = { number: number + 1, time: new Date(now()).toISOString(), act, who, ...(facts ? { facts } : {}) }
        const hash = hashOf(previous, body)
        await append(handle, `${JSON.stringify({ ...body, hash })}\n`)
        previous = hash
        number++
      })
      writing = mine.catch(() => {})
      return mine
    },
    async close() {
      await writing
      await handle.close()
    },
  }
}

/**
 * Checks the whole chain.
 *
 * @returns the hash of the last line, how many there are, and how many bytes they take
 * @throws AUDIT_BROKEN, naming the first line that does not fit
 */
export async function checkAudit(file: string): Promise<{ last: string; lines: number; whole_bytes: number }> {
  let last = NO_HASH
  let lines = 0
  let whole_bytes = 0
  let cut: string | undefined
  const broken = (): Error => fault('AUDIT_BROKEN', { found: `line ${lines + 1} does not follow from the lines before` })
  try {
    for await (const line of createInterface({ input: createReadStream(file, { encoding: 'utf8' }), crlfDelay: Number.POSITIVE_INFINITY })) {
      if (cut !== undefined) throw broken()
      const { hash, ...body } = parse(line)
      if (typeof hash !== 'string') {
        cut = line
        continue
      }
      if (hash !== hashOf(last, body)) throw broken()
      last = hash
      lines++
      whole_bytes += Buffer.byteLength(line) + 1
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return { last, lines, whole_bytes }
}

const hashOf = (previous: string, body: object): string => createHash('sha256').update(previous).update(JSON.stringify(body)).digest('hex')

function parse(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

async function append(handle: FileHandle, line: string): Promise<void> {
  const { size } = await handle.stat()
  try {
    await handle.appendFile(line)
    await handle.datasync()
  } catch (cause) {
    await handle.truncate(size).catch(() => {})
    throw fault('AUDIT_FAILED', { found: (cause as NodeJS.ErrnoException).code ?? 'an error', cause })
  }
}
