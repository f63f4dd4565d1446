// Programs that the build runs: their output goes into a log, whose end is shown if they fail.
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fault } from './errors.ts'

const SHOWN_LINES = 40

/**
 * Runs a program to its end.
 *
 * @param log  the file that gets all of its output
 * @throws IMAGE_BUILD_FAILED
 */
export async function run(log: string, command: string, arguments_: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<void> {
  mkdirSync(dirname(log), { recursive: true })
  const output = openSync(log, 'w')
  try {
    const code = await new Promise<number>((resolve, reject) => {
      spawn(command, arguments_, { ...options, stdio: ['ignore', output, output] })
        .once('error', reject)
        .once('close', ended => resolve(ended ?? 1))
    })
    if (code === 0) return
    process.stderr.write(`${readFileSync(log, 'utf8').trimEnd().split('\n').slice(-SHOWN_LINES).join('\n')}\n`)
    throw fault('IMAGE_BUILD_FAILED', { found: `${command} ended with ${code}`, next: `see ${log}` })
  } finally {
    closeSync(output)
  }
}
