// holdfast-keystore provision: sets a keystore up for an appliance, and tries that it refuses what it must.
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { table } from '#cli/table.ts'
import { type Access, type Connection, readConnection, writeConnection } from '#keystore-client/connection.ts'
import { fault as clientFault } from '#keystore-client/errors.ts'
import { checkRecipient } from '#keystore-operate/age.ts'
import { fault } from '#keystore-provision/errors.ts'
import { type Row, selfTest } from '#keystore-provision/self-test.ts'
import { provisionConnection, withAdmin } from '#keystore-provision/site-connection.ts'
import { EXIT } from '#protocol/fault.ts'

type Options = {
  readonly connection: string
  readonly address?: readonly string[]
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
  readonly issuer?: string
  readonly tenant?: readonly string[]
  readonly from?: readonly string[]
  readonly fetchesPerMinute?: number
  readonly recoveryRecipient?: readonly string[]
  readonly tokenFile?: string
  readonly selfTest?: boolean
  readonly revokeToken?: boolean
}

export const TOKEN_QUESTION = 'Root token: '
const TENANT_DEFAULT = 'default'

/** Adds `provision`. */
export function registerProvision(program: Command, frame: Frame): void {
  program
    .command('provision')
    .description('set a keystore up for an appliance: made the first time, afterwards only what differs is changed, and said')
    .requiredOption('--connection <file>', 'what the appliance is set up with: written at the end; if it is there, it says how the keystore is reached')
    .option('--address <url...>', 'each node, https://HOST:PORT')
    .option('--ca <file>', "the CA of the nodes' certificates, in PEM")
    .option('--certificate <file>', "the appliance's client certificate, in PEM")
    .option('--key <file>', 'its key, in PEM')
    .option('--tenant <name...>', `tenants to set up besides those of the connection file (default: ${TENANT_DEFAULT})`)
    .option('--issuer <name>', 'what the sign-ins of this appliance say that they come from; made up the first time')
    .option('--from <network...>', 'networks (CIDR) from which alone the appliance may sign in and act')
    .option('--fetches-per-minute <n>', 'keys that may be opened in a minute, for each tenant (default: 60)', countOf)
    .option(
      '--recovery-recipient <age1…...>',
      "your operators' public keys (age): to each of them an appliance that is firmware seals the recovery key of its encrypted disk",
    )
    .option('--token-file <file>', 'read the root token from the first line of a file, or of standard input (-)')
    .option('--self-test', 'then try what must be refused, and print what came of it')
    .option('--revoke-token', 'revoke the root token at the end')
    .action(async (options: Options) => {
      const token = await readPassword(TOKEN_QUESTION, options.tokenFile)
      const previous = existsSync(options.connection) ? readConnection(options.connection) : undefined
      const access = accessOf(options, previous)
      try {
        const { connection, changes } = await provisionAll(options, access, previous, token)
        const tests = options.selfTest === true ? await testAll(connection, token) : []
        report(frame, options, changes, tests)
      } finally {
        if (options.revokeToken === true) await withAdmin(access, token, admin => admin.write('auth/token/revoke-self', {}))
      }
    })
}

async function provisionAll(options: Options, access: Access, previous: Connection | undefined, token: string): ReturnType<typeof provisionConnection> {
  const { issuer, from, fetchesPerMinute, recoveryRecipient } = options
  for (const recipient of recoveryRecipient ?? []) checkRecipient(recipient)
  const known = Object.keys(previous?.tenants ?? {})
  const named = options.tenant ?? (known.length === 0 ? [TENANT_DEFAULT] : [])
  const done = await provisionConnection(access, token, {
    tenants: [...new Set([...known, ...named])],
    ...(issuer === undefined ? {} : { issuer }),
    ...(from === undefined ? {} : { callers: from }),
    ...(fetchesPerMinute === undefined ? {} : { fetches_per_minute: fetchesPerMinute }),
    ...(recoveryRecipient === undefined ? {} : { recovery_recipients: recoveryRecipient }),
    ...(previous ? { previous } : {}),
  })
  writeConnection(resolve(options.connection), done.connection)
  return done
}

type Tested = { readonly tenant: string; readonly rows: readonly Row[] }

async function testAll(connection: Connection, token: string): Promise<Tested[]> {
  const tested: Tested[] = []
  for (const tenant of Object.keys(connection.tenants)) tested.push({ tenant, rows: await selfTest(connection, token, tenant) })
  return tested
}

function report(frame: Frame, { connection, revokeToken }: Options, changes: readonly string[], tests: readonly Tested[]): void {
  const isOk = tests.every(({ rows }) => rows.every(({ ok }) => ok))
  const rowsOf = ({ tenant, rows }: Tested): string[] => [
    '',
    ...table(
      [`tried in tenant ${tenant}`, 'expected', 'found', ''],
      rows.map(({ what, expected, found, ok }) => [what, expected, found, ok ? 'ok' : 'WRONG']),
    ),
  ]
  frame.result({ changes, connection, tests, ok: isOk }, [
    ...(changes.length === 0 ? ['Everything is as it should be.'] : changes),
    `${connection} is for the authority alone: whoever has it can sign in as every user. Next: holdfast-appliance init --keystore ${connection}`,
    ...(revokeToken === true ? [] : ['Revoke the root token when you are done.']),
    ...tests.flatMap(rowsOf),
  ])
  if (!isOk) frame.exit(EXIT.failed)
}

/** How the keystore is reached: options before what the file says. */
function accessOf(options: Options, previous: Connection | undefined): Access {
  const pem = (file: string | undefined): string | undefined => (file === undefined ? undefined : readFileSync(file, 'utf8'))
  const addresses = options.address ? [...options.address] : previous?.addresses
  const ca = pem(options.ca) ?? previous?.ca
  const certificate = pem(options.certificate) ?? previous?.certificate
  const key = pem(options.key) ?? previous?.key
  if (addresses === undefined || ca === undefined || certificate === undefined || key === undefined)
    throw fault('PROVISION_OPTIONS_MISSING', { found: `no ${options.connection}` })
  for (const address of addresses)
    if (!/^https:\/\/[^/]+:\d+$/.test(address)) throw clientFault('KEYSTORE_NAME_INVALID', { expected: 'https://HOST:PORT', found: address.slice(0, 100) })
  return { addresses, ca, certificate, key }
}

function countOf(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('a number from 1')
  return count
}
