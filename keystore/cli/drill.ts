// holdfast-keystore drill: tries a random sample of escrows.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Command, InvalidArgumentError } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { openOperatorSession, readAccess } from '#keystore-operate/access.ts'
import { type Drilled, drill, sampleOf } from '#keystore-operate/drill.ts'
import { EXIT } from '#protocol/fault.ts'

type Options = { readonly access: string; readonly list: string; readonly sample: number; readonly tokenFile?: string }

const SAMPLE_DEFAULT = 100

/** Adds `drill`. */
export function registerDrill(program: Command, frame: Frame): void {
  program
    .command('drill')
    .description('prove that a random sample of escrows opens, without anybody seeing what is in them')
    .requiredOption('--access <file>', 'how to reach the keystore')
    .requiredOption('--list <file>', 'JSON lines {"tenant","slot","kid","sealed_sha256"?} of the authority, or - for standard input')
    .option('--sample <n>', 'how many', countOf, SAMPLE_DEFAULT)
    .option('--token-file <file>', 'read a token of the duty `drill` from the first line of a file')
    .action(async ({ access: file, list, sample: count, tokenFile }: Options) => {
      const access = readAccess(file)
      const token = await readPassword('Token of the duty drill: ', tokenFile)
      const input = list === '-' ? process.stdin : createReadStream(list)
      const { total, sample } = await sampleOf(createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }), count)
      const transport = createTransport(access)
      try {
        const session = await openOperatorSession(transport, token)
        const failed: Drilled[] = []
        for (const listed of sample) {
          frame.signal.throwIfAborted()
          const drilled = await drill(session, listed)
          if (drilled.failure === undefined) continue
          failed.push(drilled)
          frame.line(`${listed.tenant} ${listed.slot} ${listed.kid}: ${drilled.failure}`)
        }
        const isOk = failed.length === 0
        frame.result({ total, tried: sample.length, failed, ok: isOk }, [
          `${sample.length} of ${total} escrows tried: ${isOk ? 'all open' : `${failed.length} do not open`}`,
        ])
        if (!isOk) frame.exit(EXIT.damaged)
      } finally {
        transport.close()
      }
    })
}

function countOf(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 100_000) throw new InvalidArgumentError('a number from 1 to 100000')
  return count
}
