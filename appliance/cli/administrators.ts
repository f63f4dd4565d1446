// holdfast-appliance administrator: who may ask for restores for others.
import type { Command } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import { DEFAULT_TENANT } from '#authority/people.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { askAdmin } from './admin-client.ts'

export function registerAdministrator(program: Command, frame: Frame): void {
  const administrator = program.command('administrator').description('people who may ask for restores for other users of a tenant')
  administrator
    .command('add')
    .description('add an administrator, or give one a new password')
    .argument('<name>', '1 to 64 of a-z, 0-9 and -')
    .option('--password-file <file>', 'read the password from the first line of a file, or of standard input (-)')
    .option('--tenant <name>', 'the organisation whose users they may restore for', DEFAULT_TENANT)
    .action(async (name: string, options: { passwordFile?: string; tenant: string }) => {
      const password = await readPassword(`New password for the administrator ${name}: `, options.passwordFile)
      await askAdmin(frame.home(), frame.version, 'POST', ADMIN_PATHS.administrators, { administrator: name, password, tenant: options.tenant })
      frame.result({ administrator: name, tenant: options.tenant }, [
        `${name} may ask for restores in tenant ${options.tenant}. Each must be released by an approver at the keystore: holdfast-keystore approver add`,
      ])
    })
  administrator
    .command('remove')
    .description('take an administrator out')
    .argument('<name>')
    .action(async (name: string) => {
      await askAdmin(frame.home(), frame.version, 'POST', ADMIN_PATHS.removeAdministrator, { administrator: name })
      frame.result({ administrator: name, is_removed: true }, [`${name} asks for nothing any more.`])
    })
}
