// holdfast-keystore snapshot: take one, make the keys and the canary that it needs, rehearse the worst day, bring one back.
import { setTimeout as pause } from 'node:timers/promises'
import { type Command, InvalidArgumentError } from 'commander'
import { fault as cliFault } from '#cli/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { readConnection } from '#keystore-client/connection.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { readAccess } from '#keystore-operate/access.ts'
import { makeIdentity } from '#keystore-operate/age.ts'
import { makeCanary, readCanary } from '#keystore-operate/canary.ts'
import { writeNew } from '#keystore-operate/durable-file.ts'
import { rehearse } from '#keystore-operate/rehearse.ts'
import { restoreSnapshot } from '#keystore-operate/restore-snapshot.ts'
import { type Taking, takeSnapshot } from '#keystore-operate/snapshot.ts'
import { withAdmin } from '#keystore-provision/site-connection.ts'
import { isFault } from '#protocol/fault.ts'
import { linesOf, piped } from './piped-lines.ts'
import { TOKEN_QUESTION } from './provision.ts'
import { startScratch } from './scratch-server.ts'

const KEEP_DEFAULT = 56
/** After a failure it is tried again so soon, or as soon as the next one is due. */
const AGAIN_MS = 5 * 60_000

type TakeOptions = { access: string; out: string; recipient: readonly string[]; tokenFile?: string; keep: number; every?: number }
type RehearseOptions = { identityFile: string; canary: string; sharesFile?: string; scratch?: string }
type RestoreOptions = { access: string; identityFile: string; tokenFile?: string }

/** Adds `snapshot` and what is below it. */
export function registerSnapshot(program: Command, frame: Frame): void {
  const snapshot = program.command('snapshot').description('snapshots of the keystore, encrypted to people who can bring them back')
  snapshot
    .command('take')
    .description('take a snapshot into a folder, or one again and again')
    .requiredOption('--access <file>', 'how to reach the keystore')
    .requiredOption('--out <dir>', 'the folder; it keeps its own record, which `status --snapshots` reads')
    .requiredOption('--recipient <age1...>', 'public keys, of `snapshot key` or age-keygen: each of them alone can open it')
    .option('--token-file <file>', 'read a token of the duty `snapshot` from the first line of a file, or of standard input (-)')
    .option('--keep <n>', 'so many of the newest stay', countOf, KEEP_DEFAULT)
    .option('--every <time>', 'stay, and take one each so often, like 6h or 30m', timeOf)
    .action((options: TakeOptions) => take(options, frame))
  snapshot
    .command('key')
    .description('make a key that opens snapshots, for whoever brings them back; `age` can use it too')
    .requiredOption('--out <file>', 'a new file for the secret half')
    .action(({ out }: { out: string }) => {
      const { identity, recipient } = makeIdentity()
      if (!writeNew(out, `# public key: ${recipient}\n${identity}\n`)) throw cliFault('FILE_EXISTS', { found: out })
      frame.result({ recipient, file: out }, [recipient])
    })
  snapshot
    .command('canary')
    .description('make the slot that a rehearsal opens, with a root token')
    .requiredOption('--connection <file>', 'the connection file that `provision` wrote')
    .requiredOption('--out <file>', 'a new file, for those who rehearse')
    .option('--token-file <file>', 'read the root token from the first line of a file, or of standard input (-)')
    .action(async ({ connection, out, tokenFile }: { connection: string; out: string; tokenFile?: string }) => {
      const token = await readPassword(TOKEN_QUESTION, tokenFile)
      const canary = await withAdmin(readConnection(connection), token, makeCanary)
      if (!writeNew(out, `${JSON.stringify(canary)}\n`)) throw cliFault('FILE_EXISTS', { found: out })
      frame.result({ file: out, slot: canary.slot }, [`${out} has the canary; it is in every snapshot from now on.`])
    })
  snapshot
    .command('rehearse')
    .description('bring a snapshot back into a scratch keystore on this machine, and open the canary there')
    .argument('<file>', 'the snapshot')
    .requiredOption('--identity-file <file>', 'a key that opens it')
    .requiredOption('--canary <file>', 'what `snapshot canary` made')
    .option('--shares-file <file>', 'read the shares from standard input (-), one a line, instead of asking')
    .option('--scratch <dir>', 'where the scratch keystore lies while it runs')
    .action((file: string, options: RehearseOptions) => rehearseOne(file, options, frame))
  snapshot
    .command('restore')
    .description('bring a snapshot back into a new, initialised and unsealed keystore, in place of all that it has')
    .argument('<file>', 'the snapshot')
    .requiredOption('--access <file>', 'how to reach the new keystore; its first address gets the snapshot')
    .requiredOption('--identity-file <file>', 'a key that opens it')
    .option('--token-file <file>', "read the new keystore's root token from the first line of a file, or of standard input (-)")
    .action(async (file: string, { access: accessFile, identityFile, tokenFile }: RestoreOptions) => {
      const access = readAccess(accessFile)
      const token = await readPassword(TOKEN_QUESTION, tokenFile)
      await restoreSnapshot(access, access.addresses[0] ?? '', token, file, linesOf(identityFile))
      frame.result({ file }, [
        'It is there, and sealed: unseal it with the shares of the keystore that it was taken of.',
        'Before any appliance may connect: erase again what was erased since (OPERATING.md, "Disaster recovery").',
      ])
    })
}

async function take({ access: file, out: folder, recipient: recipients, tokenFile, keep, every }: TakeOptions, frame: Frame): Promise<void> {
  const access = readAccess(file)
  const token = await readPassword('Token of the duty snapshot: ', tokenFile)
  const transport = createTransport(access)
  const taking = (): Taking => ({ access, transport, token, folder, recipients, keep, now_ms: Date.now(), signal: frame.signal })
  try {
    if (every === undefined) {
      const entry = await takeSnapshot(taking())
      return frame.result(entry, [`${folder}/${entry.file}: ${entry.bytes} bytes`])
    }
    while (!frame.signal.aborted) {
      const wait_ms = await takeSnapshot(taking()).then(
        entry => {
          frame.line(`${new Date().toISOString()} ${entry.file}: ${entry.bytes} bytes`)
          return every
        },
        (error: unknown) => {
          if (!isFault(error)) throw error
          if (!frame.signal.aborted) frame.say(error.message)
          return Math.min(every, AGAIN_MS)
        },
      )
      await pause(wait_ms, undefined, { signal: frame.signal }).catch(() => {})
    }
    frame.result({ stopped: true })
  } finally {
    transport.close()
  }
}

async function rehearseOne(file: string, { identityFile, canary, sharesFile, scratch }: RehearseOptions, frame: Frame): Promise<void> {
  await rehearse({
    startScratch: () => startScratch(scratch),
    file,
    identities: linesOf(identityFile),
    canary: readCanary(canary),
    nextShare: piped(sharesFile, () => readPassword('Share (it is not shown): ', undefined)),
    say: frame.say,
  })
  frame.result({ file, ok: true }, ['The snapshot is good: it came back with the shares of its holders, and the canary opened.'])
}

function countOf(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('a number from 1')
  return count
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 24 * 3_600_000 }

function timeOf(text: string): number {
  const [, count, unit = ''] = /^([1-9][0-9]{0,4})([smhd])$/.exec(text) ?? []
  if (count === undefined) throw new InvalidArgumentError('a time like 6h or 30m')
  return Number(count) * (UNITS_MS[unit] ?? 0)
}
