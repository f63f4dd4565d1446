// holdfast-keystore root-token: three holders make one, at one terminal.
import type { Command } from 'commander'
import { fault } from '#cli/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { openOperatorSession, readAccess } from '#keystore-operate/access.ts'
import { writeNew } from '#keystore-operate/durable-file.ts'
import { makeRootToken } from '#keystore-operate/root-token.ts'
import { piped } from './piped-lines.ts'

type Options = { readonly access: string; readonly tokenFile: string; readonly out: string; readonly sharesFile?: string }

/** Adds `root-token`. */
export function registerRootToken(program: Command, frame: Frame): void {
  program
    .command('root-token')
    .description('make a root token from the shares of three holders, for what nobody may do alone; revoke it afterwards')
    .requiredOption('--access <file>', 'how to reach the keystore')
    .requiredOption('--token-file <file>', 'a token of the duty `quorum`')
    .requiredOption('--out <file>', 'where the root token goes: a new file, for its owner only; keep it in memory (/dev/shm)')
    .option('--shares-file <file>', 'read the shares from standard input (-), one a line, instead of asking')
    .action(async ({ access: file, tokenFile, out, sharesFile }: Options) => {
      const access = readAccess(file)
      const token = await readPassword('', tokenFile)
      const transport = createTransport(access)
      try {
        const nextShare = piped(sharesFile, () => readPassword('Share (it is not shown): ', undefined))
        const made = await makeRootToken(await openOperatorSession(transport, token), nextShare, frame.say)
        if (!writeNew(out, `${made}\n`)) throw fault('FILE_EXISTS', { found: out })
        frame.result({ file: out }, [`${out} has a root token: revoke it when you are done (provision --revoke-token).`])
      } finally {
        transport.close()
      }
    })
}
