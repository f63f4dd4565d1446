// Which program is run as the keystore server: the one that HOLDFAST_BAO names, the first fit `bao` or `vault` on PATH, or
// the pinned one. What a program says of itself decides whether it is fit: declared audit and control groups are needed,
// so OpenBao from 2.7 on. A customer's own cluster is not run by us, and may be another (KEYSTORE.md).
import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { fault } from './errors.ts'
import { pinnedProgram } from './pinned-program.ts'

const ROOT = join(import.meta.dirname, '../..')
const CACHE = join(ROOT, 'node_modules/.cache/holdfast-keystore')
const NAMES = ['bao', 'vault']
const VERSION_MIN = [2, 7] as const
const ANSWER_TIMEOUT_MS = 10_000

export type Finding = {
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Where the pinned program is kept. */
  readonly cache?: string
  /** Told in a line what takes its time, or is passed over. */
  readonly say?: (line: string) => void
}

/**
 * Finds a program that can be run as the keystore server, and installs the pinned one if there is none.
 *
 * @returns its path
 * @throws KEYSTORE_SERVER_UNFIT    what HOLDFAST_BAO names is not OpenBao from 2.7 on
 * @throws KEYSTORE_SERVER_MISSING  nothing was found, and nothing could be installed
 * @throws KEYSTORE_SERVER_ALTERED  the installed program is not the pinned one
 */
export async function findServer({ environment = process.env, cache = CACHE, say = line => process.stderr.write(`${line}\n`) }: Finding = {}): Promise<string> {
  const named = environment['HOLDFAST_BAO']
  if (named) {
    const unfit = await unfitness(named)
    if (unfit !== undefined) throw fault('KEYSTORE_SERVER_UNFIT', { expected: `OpenBao ${VERSION_MIN.join('.')} or later`, found: `${named}: ${unfit}` })
    return named
  }
  for (const folder of (environment['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    for (const program of NAMES.map(name => join(folder, name)).filter(isProgram)) {
      const unfit = await unfitness(program)
      if (unfit === undefined) return program
      say(`${program} is passed over: ${unfit}`)
    }
  }
  return pinnedProgram(cache, say)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Why a program can not be the server; undefined if it can. */
async function unfitness(program: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(program, ['version'], { env: {}, timeout: ANSWER_TIMEOUT_MS, maxBuffer: 64 * 1024 })
    const [, major, minor] = /^OpenBao v(\d{1,4})\.(\d{1,4})\./.exec(stdout) ?? []
    const isFit = Number(major) > VERSION_MIN[0] || (Number(major) === VERSION_MIN[0] && Number(minor) >= VERSION_MIN[1])
    return isFit ? undefined : `it says ${JSON.stringify(stdout.trim().slice(0, 80))}`
  } catch (error) {
    return `it does not run (${(error as NodeJS.ErrnoException).code ?? 'no code'})`
  }
}
