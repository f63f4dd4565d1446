// holdfast-keystore duty: a token that can do one thing.
import { type Command, InvalidArgumentError } from 'commander'
import { fault } from '#cli/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { readConnection } from '#keystore-client/connection.ts'
import { writeNew } from '#keystore-operate/durable-file.ts'
import { DUTIES, type Duty, makeDutyToken } from '#keystore-operate/duties.ts'
import { withAdmin } from '#keystore-provision/site-connection.ts'
import { TOKEN_QUESTION } from './provision.ts'

type Options = { readonly connection: string; readonly out: string; readonly tokenFile?: string }

/** Adds `duty`. */
export function registerDuty(program: Command, frame: Frame): void {
  program
    .command('duty')
    .description(`make a token for one duty (${DUTIES.join(', ')}) with a root token; it ends when it was not used for 32 days`)
    .argument('<duty>', 'which', dutyOf)
    .requiredOption('--connection <file>', 'the connection file that `provision` wrote: it names the tenants')
    .requiredOption('--out <file>', 'where the token goes: a new file, for its owner only')
    .option('--token-file <file>', 'read the root token from the first line of a file, or of standard input (-)')
    .action(async (duty: Duty, { connection: file, out, tokenFile }: Options) => {
      const connection = readConnection(file)
      const root = await readPassword(TOKEN_QUESTION, tokenFile)
      const token = await withAdmin(connection, root, admin => makeDutyToken(admin, duty, Object.keys(connection.tenants)))
      if (!writeNew(out, `${token}\n`)) throw fault('FILE_EXISTS', { found: out })
      frame.result({ duty, file: out }, [`${out} has a token of the duty ${duty}.`])
    })
}

function dutyOf(text: string): Duty {
  const duty = DUTIES.find(name => name === text)
  if (!duty) throw new InvalidArgumentError(`one of ${DUTIES.join(', ')}`)
  return duty
}
