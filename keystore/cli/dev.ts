// holdfast-keystore dev: a real keystore on this machine, ready for an appliance, until SIGTERM or Ctrl-C.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { readConnection, writeConnection } from '#keystore-client/connection.ts'
import { addApprover } from '#keystore-provision/approvers.ts'
import { provisionConnection, withAdmin } from '#keystore-provision/site-connection.ts'
import { type DevelopmentServer, startDevelopment } from '#keystore-server/development.ts'
import { fault } from '#keystore-server/errors.ts'
import { findServer } from '#keystore-server/find-server.ts'

const TENANT = 'default'

type Options = { readonly approver: readonly string[]; readonly alsoAt: readonly string[]; readonly approverPasswordFile?: string }

/** Adds the command `dev`. */
export function registerDev(program: Command, frame: Frame): void {
  program
    .command('dev')
    .description('run a keystore for development: one node in the foreground, which keeps its data in --home and unseals itself; writes keystore.json there')
    .option(
      '--approver <name>',
      'make this person an approver of restores (may be given again)',
      (name: string, before: readonly string[]) => [...before, name],
      [],
    )
    .option(
      '--also-at <host>',
      'another address of this machine that leads here, for a virtual machine for example: goes into the certificate of a new home, and into keystore.json (may be given again)',
      (host: string, before: readonly string[]) => [...before, host],
      [],
    )
    .option('--approver-password-file <file>', 'their password, in the first line of a file, or of standard input (-)')
    .action(async (options: Options) => {
      const home = frame.home()
      const server = await startDevelopment(home, await findServer({ say: frame.say }), frame.signal, options.alsoAt)
      try {
        await serve(server, join(home, 'keystore.json'), options, frame)
      } finally {
        await server.stop()
      }
    })
}

async function serve(server: DevelopmentServer, file: string, options: Options, frame: Frame): Promise<void> {
  const previous = existsSync(file) ? readConnection(file) : undefined
  const tenants = [...new Set([TENANT, ...Object.keys(previous?.tenants ?? {})])]
  const access = { addresses: [server.address], ...server.caller }
  const others = options.alsoAt.map(host => server.address.replace(/\/\/[^:]+:/, `//${host}:`))
  const password = options.approver.length === 0 ? '' : await readPassword('Password of the approvers: ', options.approverPasswordFile)
  // At each start: it changes only what differs, and so a newer version of this program finds its own policies.
  const { connection, changes } = await server.withRootToken(async token => {
    const provisioned = await provisionConnection(access, token, { tenants, ...(previous ? { previous } : {}) })
    for (const name of options.approver) await withAdmin(provisioned.connection, token, admin => addApprover(admin, TENANT, name, password))
    return provisioned
  })
  writeConnection(file, { ...connection, addresses: [...connection.addresses, ...others] })
  for (const change of changes) frame.say(change)
  frame.say('for development only: this keystore unseals itself, its shares lie beside its data, and whoever has its home has what it keeps')
  frame.say(`ready ${server.address}`)
  frame.result({ ready: true, address: server.address, connection: file })
  const stopped = new Promise<'stopped'>(resolve => {
    if (frame.signal.aborted) resolve('stopped')
    frame.signal.addEventListener('abort', () => resolve('stopped'))
  })
  if ((await Promise.race([stopped, server.ended()])) !== 'stopped')
    throw fault('KEYSTORE_SERVER_FAILED', { expected: 'to run until it is told to stop', found: server.logEnd() })
}
