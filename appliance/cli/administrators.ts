// holdfast-appliance administrator: who may ask for restores for others.
import type { Command } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import type { ListedAdministrator } from '#authority/administrators.ts'
import { DEFAULT_TENANT } from '#authority/people.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { table } from '#cli/table.ts'
import { askAdmin } from './admin-client.ts'

export function registerAdministrator(program: Command, frame: Frame): void {
  const administrator = program.command('administrator').description('people who may ask for restores for other users of a tenant, or administer the site')
  administrator
    .command('add')
    .description('add an administrator, or give one a new password')
    .argument('<name>', '1 to 64 of a-z, 0-9 and -')
    .option('--password-file <file>', 'read the password from the first line of a file, or of standard input (-)')
    .option('--tenant <name>', 'the organisation whose users they may restore for', DEFAULT_TENANT)
    .option('--site', 'instead: one who administers this appliance from another machine, and restores for nobody')
    .action(async (name: string, options: { passwordFile?: string; tenant: string; site?: true }) => {
      const password = await readPassword(`New password for the administrator ${name}: `, options.passwordFile)
      const tenant = options.site === true ? null : options.tenant
      await askAdmin(frame, 'POST', ADMIN_PATHS.administrators, { administrator: name, password, tenant })
      frame.result({ administrator: name, tenant }, [
        tenant === null
          ? `${name} may administer this appliance from elsewhere: holdfast-appliance connect ADDRESS --as ${name} --ca-sha256 HASH`
          : `${name} may ask for restores in tenant ${tenant}. Each must be released by an approver at the keystore: holdfast-keystore approver add`,
      ])
    })
  administrator
    .command('list')
    .description('list administrators')
    .action(async () => {
      const { administrators } = (await askAdmin(frame, 'GET', ADMIN_PATHS.administrators)) as { administrators: readonly ListedAdministrator[] }
      frame.result(
        { administrators },
        table(
          ['administrator', 'of', 'since'],
          administrators.map(({ name, tenant, made_ms }) => [name, tenant ?? 'the site', new Date(made_ms).toLocaleString()]),
        ),
      )
    })
  administrator
    .command('remove')
    .description('take an administrator out')
    .argument('<name>')
    .action(async (name: string) => {
      await askAdmin(frame, 'POST', ADMIN_PATHS.removeAdministrator, { administrator: name })
      frame.result({ administrator: name, is_removed: true }, [`${name} asks for nothing any more.`])
    })
}
