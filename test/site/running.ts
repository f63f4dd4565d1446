// A program of ours that runs for a whole test, by its launcher: ready when it has said its first line.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SCRIPTS } from '../agent/cli/holdfast.ts'

export type Running = {
  /** Of the launcher, while it runs. */
  readonly pid: number | undefined
  /** Resolves when it is ready; throws with what it said if it ends before. */
  start(parameters: readonly string[], environment?: Readonly<Record<string, string>>): Promise<void>
  /** SIGTERM, and waits. */
  stop(): Promise<void>
}

export function createRunning(launcher: string): Running {
  let running: ChildProcess | undefined
  return {
    get pid() {
      return running?.pid
    },
    async start(parameters, environment = {}) {
      const child = spawn(join(SCRIPTS, launcher), parameters, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
      running = child
      let said = ''
      child.stderr.on('data', (part: Buffer) => {
        said = (said + part.toString()).slice(-4000)
      })
      await new Promise<void>((resolve, reject) => {
        createInterface(child.stdout).once('line', () => resolve())
        child.once('close', code => reject(new Error(`${launcher} ended with ${code}: ${said}`)))
      })
    },
    async stop() {
      const child = running
      running = undefined
      if (!child || child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise(resolve => child.once('close', resolve))
      child.kill('SIGTERM')
      await ended
    },
  }
}
