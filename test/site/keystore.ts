// A real keystore for a test, run by the command that a developer would type.
import { join } from 'node:path'
import { createRunning } from './running.ts'

export type TestKeystore = {
  readonly home: string
  /** The connection file. */
  readonly connection: string
  /** Starts it again on its data. */
  start(): Promise<void>
  /** SIGTERM, and waits. */
  stop(): Promise<void>
}

/**
 * Starts a keystore of one node in a folder.
 *
 * @param approvers  people who may release restores, with the password in a file
 * @param alsoAt  another address that leads to it
 */
export async function startKeystore(
  folder: string,
  approvers: { names: readonly string[]; passwordFile: string } = { names: [], passwordFile: '' },
  alsoAt?: string,
): Promise<TestKeystore> {
  const home = join(folder, 'keystore')
  const people =
    approvers.names.length === 0 ? [] : [...approvers.names.flatMap(name => ['--approver', name]), '--approver-password-file', approvers.passwordFile]
  const more = [...people, ...(alsoAt === undefined ? [] : ['--also-at', alsoAt])]
  const running = createRunning('holdfast-keystore')
  const keystore: TestKeystore = {
    home,
    connection: join(home, 'keystore.json'),
    start: () => running.start(['dev', '--json', '--home', home, ...more]),
    stop: running.stop,
  }
  await keystore.start()
  return keystore
}
