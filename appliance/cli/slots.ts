// holdfast-appliance slots: how many new users can be paired while the keystore is sealed or away.
import { type Command, InvalidArgumentError } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import { SLOTS_READY_MAX } from '#authority/state.ts'
import type { Frame } from '#cli/frame.ts'
import { askAdmin } from './admin-client.ts'

type Shown = { readonly ready: number; readonly free: Readonly<Record<string, number>>; readonly running: boolean }

/** Adds `slots`. */
export function registerSlots(program: Command, frame: Frame): void {
  program
    .command('slots')
    .description('show how many slots are ready for new users, by tenant; say how many are to be: before a rollout, as many as it has people')
    .option('--ready <n>', 'how many of each tenant are kept ready from now on', slotsOf)
    .action(async ({ ready }: { readonly ready?: number }) => {
      const asked = askAdmin(frame, ready === undefined ? 'GET' : 'POST', ADMIN_PATHS.slots, ready === undefined ? undefined : { count: ready })
      const shown = (await asked) as Shown
      const short = Object.values(shown.free).reduce((sum, free) => sum + Math.max(0, shown.ready - free), 0)
      frame.result(shown, [
        `${shown.ready} slots of each tenant are kept ready`,
        ...Object.entries(shown.free).map(([tenant, free]) => `${tenant}: ${free} ready now`),
        ...(short === 0 ? [] : [shown.running ? 'More are being made: a keystore makes six to nine a second.' : 'More are made when the appliance runs.']),
      ])
    })
}

/** A number of slots. */
export function slotsOf(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > SLOTS_READY_MAX) throw new InvalidArgumentError(`a number from 1 to ${SLOTS_READY_MAX}`)
  return count
}
