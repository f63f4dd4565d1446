// holdfast-appliance archive: archives that came from another appliance.
import type { Command } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import type { Frame } from '#cli/frame.ts'
import { askAdmin } from './admin-client.ts'

export function registerArchive(program: Command, frame: Frame): void {
  const archive = program.command('archive').description('archives that came from another appliance')
  archive
    .command('adopt')
    .description("make an imported archive a user's, who then takes it over with a new device")
    .argument('<archive>', 'its id, 32 hex digits')
    .argument('<user>', 'whose it is')
    .requiredOption('--hostname <name>', 'what the device was called that wrote it')
    .action(async (id: string, user: string, { hostname }: { hostname: string }) => {
      const answer = (await askAdmin(frame, 'POST', ADMIN_PATHS.adopt, { archive: id, user, hostname })) as { device: string }
      frame.result(answer, [
        `Archive ${id} is ${user}'s now. On the new device, with a link for ${user} and the recovery file:`,
        `  holdfast pair LINK --take-over ${answer.device.slice(0, 8)} --key-file FILE`,
      ])
    })
}
