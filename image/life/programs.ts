// Programs of the system that do what only they can: cryptsetup, btrfs, mount. No shell is between, arguments never hold
// a secret (they are for everybody to see), and what they say is bounded.
import { spawn } from 'node:child_process'
import { fault } from './errors.ts'

const OUTPUT_BYTES_MAX = 32 * 1024 * 1024
/** Of what a program said last, so much goes into an error. */
const SAID_CHARS_MAX = 300

export type RunOptions = {
  /** For stdin; secrets go this way. */
  readonly input?: Uint8Array | string
  /** These exit codes are no failure. */
  readonly isFine?: (code: number) => boolean
  readonly timeout_ms?: number
}

/**
 * Runs a program to its end.
 *
 * @returns its stdout
 * @throws PROGRAM_FAILED  it is not there, ended with another code, or took too long
 */
export async function run(program: string, parameters: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input, isFine = code => code === 0, timeout_ms } = options
  const child = spawn(program, parameters, {
    stdio: ['pipe', 'pipe', 'pipe'],
    // English, whatever the locale: what they say goes into errors.
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
    ...(timeout_ms === undefined ? {} : { timeout: timeout_ms }),
  })
  const out: Buffer[] = []
  let out_bytes = 0
  let said = ''
  child.stdout.on('data', (part: Buffer) => {
    out_bytes += part.length
    if (out_bytes <= OUTPUT_BYTES_MAX) out.push(part)
    else child.kill()
  })
  child.stderr.on('data', (part: Buffer) => {
    said = (said + part.toString()).slice(-SAID_CHARS_MAX)
  })
  // It may end without having read its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const ended = await new Promise<string | undefined>(resolve => {
    child.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
    child.once('close', (code, signal) => resolve(code !== null && isFine(code) ? undefined : `ended with ${code ?? signal}`))
  })
  const output = Buffer.concat(out).toString('utf8')
  if (ended === undefined && out_bytes <= OUTPUT_BYTES_MAX) return output
  throw fault('PROGRAM_FAILED', { found: `${[program, parameters[0] ?? ''].join(' ').trim()} ${ended ?? 'said too much'}: ${printable(said)}` })
}

const printable = (text: string): string =>
  text
    .trim()
    .replaceAll(/\s*\n\s*/g, '; ')
    .replaceAll(/[^\x20-\x7e]/g, '?')
