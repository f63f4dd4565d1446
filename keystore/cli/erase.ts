// holdfast-keystore erase: a user's keys, for good; and all that were erased, again, after a snapshot was brought back.
import type { Command } from 'commander'
import { fault } from '#cli/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { readAccess } from '#keystore-operate/access.ts'
import { eraseSlot, erasuresIn, noteErasure, requireRoot } from '#keystore-operate/erasures.ts'
import { withAdmin } from '#keystore-provision/site-connection.ts'
import { TOKEN_QUESTION } from './provision.ts'

type Options = {
  readonly access: string
  readonly list: string
  readonly tenant: string
  readonly why?: string
  readonly again?: boolean
  readonly tokenFile?: string
}

/** Adds `erase`. */
export function registerErase(program: Command, frame: Frame): void {
  program
    .command('erase')
    .description("erase a user's keys for good, with a root token: every copy of their archive becomes unreadable, and nothing brings it back")
    .argument('[slot]', "the user's slot, s-…, as the appliance names it")
    .requiredOption('--access <file>', 'how to reach the keystore')
    .requiredOption('--list <file>', 'the list of all that was erased: kept apart from the snapshots, and never lost')
    .option('--tenant <name>', 'whose user', 'default')
    .option('--why <text>', 'for the list: the number of the request, not the name of the person', '')
    .option('--again', 'erase all of the list again, after a snapshot was brought back')
    .option('--token-file <file>', 'read the root token from the first line of a file, or of standard input (-)')
    .action(async (slot: string | undefined, { access: file, list, tenant, why = '', again, tokenFile }: Options) => {
      if ((slot === undefined) === (again !== true))
        throw fault('USAGE_WRONG', { expected: 'a slot, or --again', found: slot === undefined ? 'neither' : 'both' })
      const access = readAccess(file)
      const token = await readPassword(TOKEN_QUESTION, tokenFile)
      const { listed, erased } = await withAdmin(access, token, async admin => {
        await requireRoot(admin)
        if (slot !== undefined) await noteErasure(list, { tenant, slot, why, now_ms: Date.now() })
        const wanted = slot === undefined ? await erasuresIn(list) : [{ tenant, slot }]
        const gone: string[] = []
        for (const one of wanted) if (await eraseSlot(admin, one.tenant, one.slot)) gone.push(one.slot)
        return { listed: wanted.length, erased: gone }
      })
      frame.result({ listed, erased }, [
        slot === undefined
          ? `${listed} slots are in the list; ${erased.length} of them had come back, and are erased again.`
          : erased.length > 0
            ? `${slot} is erased. Copy ${list} to where the snapshots are not.`
            : `${slot} was not there; it is in the list now.`,
      ])
    })
}
