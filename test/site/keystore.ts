// A real keystore for a test, run by the command that a developer would type.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SCRIPTS } from '../agent/cli/holdfast.ts'

export type TestKeystore = {
  readonly home: string
  /** The connection file. */
  readonly connection: string
  /** Starts it again on its data. */
  start(): Promise<void>
  /** SIGTERM, and waits. */
  stop(): Promise<void>
}

/** Starts a keystore of one node in a folder. @param approvers  people who may release restores, with the password in a file */
export async function startKeystore(
  folder: string,
  approvers: { names: readonly string[]; passwordFile: string } = { names: [], passwordFile: '' },
): Promise<TestKeystore> {
  const home = join(folder, 'keystore')
  const more =
    approvers.names.length === 0 ? [] : [...approvers.names.flatMap(name => ['--approver', name]), '--approver-password-file', approvers.passwordFile]
  let running: ChildProcess | undefined
  const keystore: TestKeystore = {
    home,
    connection: join(home, 'keystore.json'),
    async start() {
      const child = spawn(join(SCRIPTS, 'holdfast-keystore'), ['dev', '--json', '--home', home, ...more], { stdio: ['ignore', 'pipe', 'pipe'] })
      running = child
      let said = ''
      child.stderr.on('data', (part: Buffer) => {
        said = (said + part.toString()).slice(-4000)
      })
      await new Promise<void>((resolve, reject) => {
        createInterface(child.stdout).once('line', () => resolve())
        child.once('close', code => reject(new Error(`the keystore ended with ${code}: ${said}`)))
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
  await keystore.start()
  return keystore
}
