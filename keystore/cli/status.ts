// holdfast-keystore status: how the keystore is, and what somebody must look at.
import { setTimeout as pause } from 'node:timers/promises'
import { type Command, InvalidArgumentError } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { table } from '#cli/table.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { readAccess } from '#keystore-operate/access.ts'
import { type Alarm, alarmsOf, changesOf } from '#keystore-operate/alarms.ts'
import { createFloodWatch } from '#keystore-operate/floods.ts'
import { type Looking, type Status, sealsAgain, statusOf } from '#keystore-operate/status.ts'
import { EXIT } from '#protocol/fault.ts'

type Options = {
  readonly access: string
  readonly tokenFile?: string
  readonly snapshots?: string
  readonly auditLog?: readonly string[]
  readonly watch?: number
}

/** Adds `status`. */
export function registerStatus(program: Command, frame: Frame): void {
  program
    .command('status')
    .description('show how each node is, and alarm: sealed, away, somebody who unseals or makes a root token, old snapshots, certificates that end')
    .requiredOption('--access <file>', 'how to reach the keystore: addresses, ca, certificate and key (a connection file has them too)')
    .option(
      '--token-file <file>',
      'read a token of the duty `watch` from the first line of a file, or of standard input (-): shows who votes, and root tokens being made',
    )
    .option('--snapshots <dir>', 'the folder of `snapshot`: alarm if the last one is old')
    .option('--audit-log <file...>', "the keystore's audit log of every node, of one audit device: alarm if its limits refused something in the last hour")
    .option('--watch <seconds>', 'look again and again, and print what begins and ends', secondsOf)
    .action(async (options: Options) => {
      const access = readAccess(options.access)
      const transport = createTransport(access)
      const token = options.tokenFile === undefined ? undefined : await readPassword('', options.tokenFile)
      const floods = options.auditLog && createFloodWatch(options.auditLog)
      const looking = { access, transport, token, snapshots: options.snapshots, floods }
      try {
        if (options.watch !== undefined) await watch(looking, options.watch, frame)
        else await show(looking, frame)
      } finally {
        transport.close()
      }
    })
}

/** Everything is looked at so often; the seals alone more often. */
const WHOLE_MS = 60_000
const RENEW_MS = 12 * 3_600_000

const lineOf = ({ kind, where, text }: Alarm): string => `${kind} ${where}: ${text}`

async function show(looking: Looking, frame: Frame): Promise<void> {
  const status = await statusOf(looking)
  const alarms = alarmsOf(status, Date.now(), looking.token !== undefined)
  frame.result({ ...status, inside: status.inside ?? null, alarms, ok: alarms.length === 0 }, [
    ...linesOf(status),
    ...alarms.map(alarm => `ALARM ${lineOf(alarm)}`),
  ])
  if (alarms.some(({ kind }) => kind === 'leaderless')) frame.exit(EXIT.unreachable)
  else if (alarms.length > 0) frame.exit(EXIT.failed)
}

/** Until Ctrl-C or SIGTERM. A progress that comes and goes between two looks is not seen: look often. */
async function watch(looking: Looking, seconds: number, frame: Frame): Promise<void> {
  let before: readonly Alarm[] = []
  let status: Status | undefined
  let [count, whole_ms, renewed_ms] = [0, 0, 0]
  while (!frame.signal.aborted) {
    const now_ms = Date.now()
    if (status && now_ms - whole_ms < WHOLE_MS) status = await sealsAgain(status, looking.transport)
    else status = undefined
    if (!status) {
      const renews = now_ms - renewed_ms > RENEW_MS
      status = await statusOf({ ...looking, renews })
      whole_ms = now_ms
      if (renews) renewed_ms = now_ms
    }
    const alarms = alarmsOf(status, now_ms, looking.token !== undefined)
    const { begun, ended } = changesOf(before, alarms)
    const now = new Date().toISOString()
    for (const alarm of ended) frame.line(`${now} over ${lineOf(alarm)}`)
    for (const alarm of begun) frame.line(`${now} ALARM ${lineOf(alarm)}`)
    count += begun.length
    before = alarms
    await pause(seconds * 1000, undefined, { signal: frame.signal }).catch(() => {})
  }
  frame.result({ alarms: count })
}

function linesOf({ nodes, client_certificate_end_ms, inside, snapshot }: Status): string[] {
  const day = (at_ms: number | undefined): string => (at_ms === undefined ? '' : new Date(at_ms).toISOString().slice(0, 10))
  return [
    ...table(
      ['node', 'state', 'shares given', 'version', 'certificate until'],
      nodes.map(({ address, state, seal, certificate_end_ms }) => [
        address,
        state,
        seal?.sealed ? `${seal.progress} of ${seal.t}` : '',
        seal?.version ?? '',
        day(certificate_end_ms),
      ]),
    ),
    `our certificate until ${day(client_certificate_end_ms)}`,
    inside ? `voters: ${inside.voters?.join(', ') ?? 'not shown'}` : 'voters, and whether somebody makes a root token: only shown with a token',
    ...(snapshot === undefined ? [] : [snapshot ? `last snapshot: ${snapshot.file}, ${snapshot.bytes} bytes` : 'last snapshot: none']),
  ]
}

function secondsOf(text: string): number {
  const seconds = Number(text)
  if (!(seconds >= 1 && seconds <= 3_600)) throw new InvalidArgumentError('seconds, 1 to 3600')
  return seconds
}
