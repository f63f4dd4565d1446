// Runs the agent's command as a user would.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'

export const SCRIPTS = join(import.meta.dirname, '../../../scripts')

export type Ended = { readonly code: number | null; readonly signal: string | null; readonly out: string; readonly err: string }
export type Options = {
  readonly environment?: Readonly<Record<string, string>>
  readonly input?: string
  readonly onStart?: (child: ChildProcess) => void
  readonly launcher?: string
  /** Where it runs; by default here. */
  readonly cwd?: string
}

/** Ends with its exit code, whatever it is. */
export function holdfast(parameters: readonly string[], options: Options = {}): Promise<Ended> {
  const { HOLDFAST_HOME: _home, ...environment } = process.env
  const child = spawn(join(SCRIPTS, options.launcher ?? 'holdfast'), parameters, {
    cwd: options.cwd,
    env: { ...environment, ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  options.onStart?.(child)
  return new Promise((resolve, reject) => {
    let [out, err] = ['', '']
    child.stdout.on('data', (part: Buffer) => {
      out += part.toString()
    })
    child.stderr.on('data', (part: Buffer) => {
      err += part.toString()
    })
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, out, err }))
  })
}
