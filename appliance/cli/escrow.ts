// holdfast-appliance escrow: what the authority keeps of users' keys, for those who operate the keystore. No key is in it.
import type { Command } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import type { Frame } from '#cli/frame.ts'
import { askAdmin } from './admin-client.ts'

export function registerEscrow(program: Command, frame: Frame): void {
  const escrow = program.command('escrow').description("what is in escrow, for the keystore's operators")
  escrow
    .command('list')
    .description('one line of JSON for each key in escrow, as `holdfast-keystore drill` takes it')
    .action(async () => {
      const { escrows } = await askAdmin(frame, 'GET', ADMIN_PATHS.escrows)
      frame.result(
        { escrows },
        (escrows as object[]).map(row => JSON.stringify(row)),
      )
    })
  escrow
    .command('redeliver')
    .description('hand every key to the keystore again, after it was restored from a snapshot; what is there already stays as it is')
    .action(async () => {
      const { count, lost } = await askAdmin(frame, 'POST', ADMIN_PATHS.redeliver)
      frame.result({ count, lost }, [
        `${String(count)} keys are handed over again; holdfast-appliance status says when they are safe.`,
        ...(lost === 0 ? [] : [`Of ${String(lost)} of them the keystore has lost the slot: each of these users makes a new key with the next backup.`]),
      ])
    })
}
