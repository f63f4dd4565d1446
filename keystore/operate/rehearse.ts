// A rehearsal of the worst day: a snapshot is brought back into a scratch keystore of one node, with the real shares, and the
// canary opens there. It shows that the file is whole, that an identity opens it, that the holders' shares fit it, and that
// the keys in it open what is in it. The scratch is removed afterwards; while it runs it is a whole keystore, unsealed, on
// this machine: it listens on this machine alone, with certificates that nobody else has.
import { setTimeout as pause } from 'node:timers/promises'
import type { Access } from '#keystore-client/connection.ts'
import { createTransport, type Transport } from '#keystore-client/transport.ts'
import { isFault } from '#protocol/fault.ts'
import { type Canary, openCanary } from './canary.ts'
import { fault } from './errors.ts'
import { restoreSnapshot } from './restore-snapshot.ts'
import { sealStatusOf } from './seal-status.ts'
import { createUnsealing } from './unseal.ts'

/** A new keystore of one node, with a seal of its own: initialised, unsealed, active. */
export type Scratch = { readonly access: Access; readonly rootToken: string; isActive(): Promise<boolean>; remove(): Promise<void> }

export type Rehearsing = {
  readonly startScratch: () => Promise<Scratch>
  readonly file: string
  readonly identities: readonly string[]
  readonly canary: Canary
  /** The next share of a holder; asked for until it is unsealed. */
  readonly nextShare: () => Promise<string>
  /** Told what is done. */
  readonly say: (line: string) => void
}

const WAIT_MS = 60_000
const AGAIN_MS = 200

/** @throws CANARY_DEAD, KEYSTORE_SNAPSHOT_REFUSED, REHEARSAL_FAILED, AGE_*, SHARE_INVALID, KEYSTORE_* */
export async function rehearse({ startScratch, file, identities, canary, nextShare, say }: Rehearsing): Promise<void> {
  const scratch = await startScratch()
  const address = scratch.access.addresses[0] ?? ''
  const transport = createTransport(scratch.access)
  try {
    await restoreSnapshot(scratch.access, address, scratch.rootToken, file, identities)
    say('the snapshot is in a scratch keystore; now the shares of its own holders')
    // It answers as unsealed for a moment more.
    await until('sealed', async () => (await sealStatusOf(transport, address)).sealed)
    await unsealWith(transport, address, nextShare, say)
    await until('active', scratch.isActive)
    await openCanary(transport, address, canary)
  } finally {
    transport.close()
    await scratch.remove()
  }
}

async function unsealWith(transport: Transport, address: string, nextShare: () => Promise<string>, say: (line: string) => void): Promise<void> {
  const unsealing = createUnsealing(transport, [address])
  for (;;) {
    for (const { is_open, given, needed, note } of await unsealing.give(await nextShare())) {
      if (is_open) return
      say(`${given} of ${needed} shares${note === undefined ? '' : `; ${note}`}`)
    }
  }
}

/** A node that takes a snapshot in does not answer meanwhile. */
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const ask = async (): Promise<boolean> =>
    isSo().catch((error: unknown) => {
      if (isFault(error, 'KEYSTORE_UNREACHABLE')) return false
      throw error
    })
  for (const end_ms = performance.now() + WAIT_MS; !(await ask()); await pause(AGAIN_MS))
    if (performance.now() > end_ms)
      throw fault('REHEARSAL_FAILED', { expected: `a scratch keystore that is ${what} within ${WAIT_MS / 1000} s`, found: 'it is not' })
}
