// Handing an escrow over: created once, never replaced. A write whose answer was lost, or was a failure, may have been done
// all the same (the keystore answers 500 when only its own audit line of the answer failed), and a repetition is refused like
// any overwrite. So nothing is written again before the metadata was asked; the kid holds the hash of what was sealed, so an
// entry under it is this escrow and no other.
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { checked } from './answers.ts'
import { checkNames, kvOf } from './names.ts'
import type { Outbox } from './outbox.ts'
import type { Rounds } from './rounds.ts'
import type { Session } from './session.ts'

const Metadata = Type.Object({
  data: Type.Object({
    current_version: Type.Integer(),
    versions: Type.Record(Type.String(), Type.Object({ deletion_time: Type.String(), destroyed: Type.Boolean() })),
  }),
})

/**
 * Stores one escrow, if there is none.
 *
 * @param sealed  as sealUserKey() makes it
 * @returns 'there' if it was stored before, perhaps by an attempt of this call
 * @throws KEYSTORE_*
 */
export async function escrow(rounds: Rounds, outbox: Outbox, tenant: string, slot: string, kid: string, sealed: string): Promise<'stored' | 'there'> {
  checkNames({ tenant, slot, kid, sealed })
  const path = `${kvOf(tenant)}/data/${slot}/${kid}`
  let mayBeStored = false
  return rounds.run(address =>
    outbox.at(address, tenant, async session => {
      if (mayBeStored && (await isThere(session, tenant, slot, kid))) return 'there'
      try {
        mayBeStored = true
        await session.write(path, { options: { cas: 0 }, data: { sealed } })
        return 'stored'
      } catch (error) {
        if (isFault(error, 'KEYSTORE_REFUSED', 'KEYSTORE_REQUEST_INVALID') && (await isThere(session, tenant, slot, kid))) return 'there'
        throw error
      }
    }),
  )
}

/** Whether an escrow is there and can be fetched. @throws KEYSTORE_* */
export async function isEscrowed(rounds: Rounds, outbox: Outbox, tenant: string, slot: string, kid: string): Promise<boolean> {
  checkNames({ tenant, slot, kid })
  return rounds.run(address => outbox.at(address, tenant, session => isThere(session, tenant, slot, kid)))
}

async function isThere(session: Session, tenant: string, slot: string, kid: string): Promise<boolean> {
  const path = `${kvOf(tenant)}/metadata/${slot}/${kid}`
  const answer = await session.read(path).catch((error: unknown) => {
    if (isFault(error, 'KEYSTORE_NOT_FOUND')) return undefined
    throw error
  })
  if (answer === undefined) return false
  const { current_version, versions } = checked(Metadata, answer, path).data
  const current = versions[current_version]
  return current !== undefined && current.deletion_time === '' && !current.destroyed
}
