// holdfast-keystore approver: who may release a restore for somebody else.
import type { Command } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { readConnection } from '#keystore-client/connection.ts'
import { addApprover, removeApprover } from '#keystore-provision/approvers.ts'
import { withAdmin } from '#keystore-provision/site-connection.ts'
import { TOKEN_QUESTION } from './provision.ts'

type Options = { readonly connection: string; readonly tenant: string; readonly tokenFile?: string; readonly passwordFile?: string }

/** Adds `approver add` and `approver remove`. */
export function registerApprover(program: Command, frame: Frame): void {
  const approver = program.command('approver').description('people who may release a restore for somebody else, with a sign-in of their own at the keystore')
  const command = (name: string, description: string): Command =>
    approver
      .command(name)
      .description(description)
      .argument('<name>', 'the person, as the appliance knows them')
      .requiredOption('--connection <file>', 'the connection file that `provision` wrote')
      .option('--tenant <name>', 'whose restores', 'default')
      .option('--token-file <file>', 'read the root token from the first line of a file, or of standard input (-)')
  command('add', 'make somebody an approver, or give them a new password')
    .option('--password-file <file>', 'read the new password from the first line of a file, or of standard input (-)')
    .action(async (name: string, options: Options) => {
      const token = await readPassword(TOKEN_QUESTION, options.tokenFile)
      const password = await readPassword(`New password for ${name} at the keystore: `, options.passwordFile)
      await withAdmin(readConnection(options.connection), token, admin => addApprover(admin, options.tenant, name, password))
      frame.result({ approver: name, tenant: options.tenant }, [`${name} may release restores of tenant ${options.tenant}, but none that ${name} asked for.`])
    })
  command('remove', 'take somebody out').action(async (name: string, options: Options) => {
    const token = await readPassword(TOKEN_QUESTION, options.tokenFile)
    await withAdmin(readConnection(options.connection), token, admin => removeApprover(admin, options.tenant, name))
    frame.result({ approver: name, tenant: options.tenant, is_removed: true }, [`${name} releases nothing any more.`])
  })
}
