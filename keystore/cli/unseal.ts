// holdfast-keystore unseal: a holder gives a share; the others do so after them, here or at terminals of their own.
import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { readAccess } from '#keystore-operate/access.ts'
import { createUnsealing, type Progress, type Unsealing } from '#keystore-operate/unseal.ts'
import { EXIT, isFault } from '#protocol/fault.ts'

type Options = { readonly access: string; readonly shareFile?: string; readonly wait?: boolean }

const LOOK_MS = 500

/** Adds `unseal`. */
export function registerUnseal(program: Command, frame: Frame): void {
  program
    .command('unseal')
    .description('give a share to every sealed node: as the prompt asks, or by a pipe (gpg --decrypt share-1.pgp | holdfast-keystore unseal --share-file -)')
    .requiredOption('--access <file>', 'how to reach the keystore: addresses, ca, certificate and key')
    .option('--share-file <file>', 'read one share from the first line of standard input (-) instead of asking')
    .option('--wait', 'afterwards wait for the other holders, and say if somebody spoils it')
    .action(async ({ access: file, shareFile, wait }: Options) => {
      const access = readAccess(file)
      const transport = createTransport(access)
      try {
        const unsealing = createUnsealing(transport, access.addresses)
        let progress = await giveAll(unsealing, shareFile, frame)
        if (wait === true) progress = await waitForOthers(unsealing, progress, frame)
        const isOpen = progress.every(({ is_open }) => is_open)
        frame.result({ nodes: progress, unsealed: isOpen }, [isOpen ? 'All nodes are unsealed.' : 'Not yet: other holders must give theirs.'])
        if (progress.some(({ note }) => note !== undefined) && !isOpen) frame.exit(EXIT.failed)
      } finally {
        transport.close()
      }
    })
}

/** One share from a pipe; at a terminal one after another, until it is unsealed or nobody has another. */
async function giveAll(unsealing: Unsealing, shareFile: string | undefined, frame: Frame): Promise<Progress[]> {
  let progress: Progress[] = []
  for (let count = 1; ; count++) {
    let share: string
    try {
      share = await readPassword(count === 1 ? 'Share (it is not shown): ' : 'Next share (Enter alone: no other holder is here): ', shareFile)
    } catch (error) {
      if (count > 1 && isFault(error, 'PASSWORD_MISSING')) return progress
      throw error
    }
    progress = await unsealing.give(share)
    say(progress, frame)
    if (shareFile !== undefined || progress.every(({ is_open }) => is_open)) return progress
  }
}

async function waitForOthers(unsealing: Unsealing, before: readonly Progress[], frame: Frame): Promise<Progress[]> {
  for (let last = before; ; await pause(LOOK_MS)) {
    frame.signal.throwIfAborted()
    const progress = await unsealing.look()
    const isNew = progress.some(({ given, is_open }, at) => given !== last[at]?.given || is_open !== last[at]?.is_open)
    if (isNew) say(progress, frame)
    last = progress
    if (progress.every(({ is_open, note }) => is_open || note !== undefined)) return progress
  }
}

function say(progress: readonly Progress[], frame: Frame): void {
  for (const { address, is_open, given, needed, note } of progress)
    frame.say(`${address}: ${is_open ? 'unsealed' : `${given} of ${needed} shares`}${note === undefined ? '' : `; ${note}`}`)
}
