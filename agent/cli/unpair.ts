// holdfast unpair: gives the authorization back, then wipes this home. What is stored at the appliance stays there.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { fault } from '#site/errors.ts'
import { openSite } from '#site/site.ts'
import type { Frame } from './frame.ts'
import { withLockedStorage } from './with-storage.ts'

export function registerUnpair(program: Command, frame: Frame): void {
  program
    .command('unpair')
    .description('Give up the authorization of this device, and wipe its keys. What is backed up stays at the appliance.')
    .option('--force', 'wipe even if the appliance can not be told')
    .action(async (options: { force?: boolean }) => {
      const home = frame.home()
      const isTold = await withLockedStorage(home, async storage => {
        const told = await tell(storage, frame.signal, options.force === true)
        await storage.wipe()
        return told
      })
      for (const name of ['cache', 'agent.json']) rmSync(join(home, name), { recursive: true, force: true })
      frame.result({ unpaired: true, told: isTold }, [
        'Unpaired: the keys of this device are wiped.',
        ...(isTold ? [] : ['The appliance could not be told: ask the administrator to deauthorize this device.']),
      ])
    })
}

/** Whether the authority knows now. */
async function tell(storage: AuthorizedStorage, signal: AbortSignal, isForced: boolean): Promise<boolean> {
  if (!(await storage.get('site'))) {
    // Nothing to give back; what half a pairing left is wiped all the same.
    if (isForced) return false
    throw fault('NOT_PAIRED')
  }
  try {
    const site = await openSite(storage, signal)
    await site.leave().finally(() => site.close())
    return true
  } catch (error) {
    if (isFault(error, 'DEVICE_DEAUTHORIZED', 'CERTIFICATE_REQUIRED')) return true
    if (isForced && error instanceof Fault && !signal.aborted) return false
    throw error instanceof Fault && !signal.aborted
      ? new Fault(
          error.code,
          { exit: error.exit, text: 'the appliance could not be told', next: 'try again, or use --force to wipe this device all the same' },
          { found: error.message },
        )
      : error
  }
}
