// holdfast-keystore approve: another person agrees to a restore for somebody else, at the keystore itself.
import type { Command } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { openApprover } from '#keystore-client/approval.ts'
import { readAccess } from '#keystore-client/connection.ts'
import { createTransport } from '#keystore-client/transport.ts'

type Options = { readonly connection: string; readonly tenant: string; readonly as: string; readonly passwordFile?: string; readonly show?: true }

/** Adds the command. */
export function registerApprove(program: Command, frame: Frame): void {
  program
    .command('approve')
    .description('release a restore that somebody else asked for; the asker was shown its request')
    .argument('<request>', 'the accessor of the request')
    .requiredOption('--connection <file>', 'a JSON file with addresses, ca, certificate and key: how you reach the keystore; the connection file will do')
    .requiredOption('--as <name>', 'who you are at the keystore')
    .option('--tenant <name>', 'whose restores', 'default')
    .option('--password-file <file>', 'read your password at the keystore from the first line of a file, or of standard input (-)')
    .option('--show', 'only show what would be opened')
    .action(async (accessor: string, options: Options) => {
      const password = await readPassword(`Password of ${options.as} at the keystore: `, options.passwordFile)
      const transport = createTransport(readAccess(options.connection))
      try {
        const approver = await openApprover(transport, options.tenant, options.as, password)
        try {
          const { path, asker } = await approver.look(accessor)
          if (options.show !== true) await approver.release(accessor)
          frame.result({ request: accessor, path, asker: asker ?? null, is_released: options.show !== true }, [
            `${options.show === true ? 'Would open' : 'Released'}: ${path}, asked for by ${asker ?? 'somebody whom the keystore does not name'}`,
            ...(options.show === true ? [] : ['It is good for one restore, within ten minutes of when it was asked for.']),
          ])
        } finally {
          await approver.close()
        }
      } finally {
        transport.close()
      }
    })
}
