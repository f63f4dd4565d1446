// holdfast-appliance user, tenant and link.
import { Argument, type Command } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import { DEFAULT_TENANT } from '#authority/people.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { table } from '#cli/table.ts'
import { askAdmin } from './admin-client.ts'

type Row = Readonly<Record<string, unknown>>
const text = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? `${value}` : '')
const time = (value: unknown): string => (typeof value === 'number' ? new Date(value).toLocaleString() : '')

export function registerUser(program: Command, frame: Frame): void {
  const user = program.command('user').description('the people whose devices are backed up')
  user
    .command('add')
    .description('add a user')
    .argument('<name>', '1 to 64 of a-z, 0-9 and -')
    .option('--password-file <file>', 'read the password from the first line of a file, or of standard input (-)')
    .option('--tenant <name>', 'the organisation that the user belongs to', DEFAULT_TENANT)
    .action(async (name: string, options: { passwordFile?: string; tenant: string }) => {
      const password = await readPassword(`New password for ${name}: `, options.passwordFile)
      await askAdmin(frame, 'POST', ADMIN_PATHS.users, { user: name, password, tenant: options.tenant })
      frame.result({ user: name, tenant: options.tenant }, [`User ${name} was added. Next: holdfast-appliance link ${name} --home ${frame.home()}`])
    })
  user
    .command('list')
    .description('list users')
    .action(async () => {
      const { users } = await askAdmin(frame, 'GET', ADMIN_PATHS.users)
      const rows = users as Row[]
      frame.result(
        { users: rows },
        table(
          ['user', 'tenant', 'since', ''],
          rows.map(row => [text(row['name']), text(row['tenant']), time(row['made_ms']), row['is_disabled'] === true ? 'disabled' : '']),
        ),
      )
    })
  user
    .command('disable')
    .description('disable a user: no device of theirs is served any more; backups stay')
    .argument('<name>')
    .action(async (name: string) => {
      await askAdmin(frame, 'POST', ADMIN_PATHS.disable, { user: name })
      frame.result({ user: name, is_disabled: true }, [
        `User ${name} is disabled. Running backups end when their tickets do, in five minutes at most; deauthorize a device to end them at once.`,
      ])
    })
}

export function registerTenant(program: Command, frame: Frame): void {
  const tenant = program.command('tenant').description('organisations that are kept apart from one another')
  tenant
    .command('add')
    .description('add a tenant')
    .argument('<name>', '1 to 64 of a-z, 0-9 and -')
    .action(async (name: string) => {
      await askAdmin(frame, 'POST', ADMIN_PATHS.tenants, { tenant: name })
      frame.result({ tenant: name }, [`Tenant ${name} is there.`])
    })
  registerCustody(tenant, frame)
  tenant
    .command('list')
    .description('list tenants')
    .action(async () => {
      const { tenants } = await askAdmin(frame, 'GET', ADMIN_PATHS.tenants)
      const rows = tenants as Row[]
      frame.result(
        { tenants: rows },
        table(
          ['tenant', 'custody', 'since'],
          rows.map(row => [text(row['name']), text(row['custody'] ?? 'escrowed'), time(row['made_ms'])]),
        ),
      )
    })
}

function registerCustody(tenant: Command, frame: Frame): void {
  tenant
    .command('custody')
    .description("set who can bring the keys of a tenant's users back; keys follow with each user's next backup")
    .argument('<name>')
    .addArgument(
      new Argument(
        '<custody>',
        'escrowed: the owner, or an approved restore; passphrase: only the owner, who has to remember it; self-held: only who has the recovery file',
      ).choices(['escrowed', 'passphrase', 'self-held']),
    )
    .action(async (name: string, custody: string) => {
      await askAdmin(frame, 'POST', ADMIN_PATHS.custody, { tenant: name, custody })
      frame.result({ tenant: name, custody }, [
        `Keys of tenant ${name}: ${custody}. What was in escrow before can still be opened as before: old keys open old backups.`,
      ])
    })
}

export function registerLink(program: Command, frame: Frame): void {
  program
    .command('link')
    .description('make a pairing link for a user: one use, and it expires')
    .argument('<name>', 'the user')
    .action(async (name: string) => {
      const answer = await askAdmin(frame, 'POST', ADMIN_PATHS.links, { user: name })
      frame.result(answer, [text(answer['link'])])
      if (!frame.isJson())
        frame.say(`It works once, until ${time(answer['expires_ms'])}. Hand it to ${name}, who needs the password too: holdfast pair "LINK" --home DIR`)
    })
}
