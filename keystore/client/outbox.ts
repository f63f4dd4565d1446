// The authority's standing sign-in for handing over: it can make slots, create an escrow where there is none, and see that
// one is there. It can read, replace or remove nothing. Its token is used until near its end, by all acts of a tenant.
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { isFault } from '#protocol/fault.ts'
import { ROUND_REQUEST_MS } from './rounds.ts'
import { openSession, type Session } from './session.ts'
import { type Signer, signIn } from './sign-in.ts'
import type { Transport } from './transport.ts'

/** A token is not used any more so long before its end: longer than any request takes. */
const BEFORE_END_MS = 30_000
const SUBJECT = 'outbox'

type Kept = { readonly token: string; readonly end_ms: number }

export type Outbox = {
  /**
   * Does an act with a session of the tenant's outbox at this address; once more with a new sign-in if one that was kept is
   * refused, because a keystore may have been brought back from a snapshot since.
   */
  at<Result>(address: string, tenant: string, act: (session: Session) => Promise<Result>, timeout_ms?: number): Promise<Result>
}

/** Signs in when it is first needed. */
export function createOutbox(transport: Transport, signer: Signer): Outbox {
  const kept = new Map<string, Promise<Kept>>()
  const signInNow = async (address: string, tenant: string): Promise<Kept> => {
    const jti = randomBytes(16).toString('hex')
    const begun_ms = performance.now()
    const { token, length_ms } = await signIn(
      transport,
      address,
      signer,
      { tenant, role: 'outbox', sub: SUBJECT, jti, device: SUBJECT },
      { act: jti, timeout_ms: ROUND_REQUEST_MS },
    )
    return { token, end_ms: begun_ms + length_ms - BEFORE_END_MS }
  }
  /** One sign-in for all that found the same token spent. */
  const renewed = (address: string, tenant: string, spent: Promise<Kept> | undefined): Promise<Kept> => {
    const current = kept.get(tenant)
    if (current !== undefined && current !== spent) return current
    const made = signInNow(address, tenant)
    kept.set(tenant, made)
    made.catch(() => kept.get(tenant) === made && kept.delete(tenant))
    return made
  }
  return {
    async at(address, tenant, act, timeout_ms = ROUND_REQUEST_MS) {
      const use = async (one: Promise<Kept>): ReturnType<typeof act> =>
        act(openSession(transport, address, { token: (await one).token, act: SUBJECT, timeout_ms }))
      const current = kept.get(tenant)
      if (current === undefined || (await isNearEnd(current))) return use(renewed(address, tenant, current))
      try {
        return await use(current)
      } catch (error) {
        if (isFault(error, 'KEYSTORE_REFUSED')) return use(renewed(address, tenant, current))
        throw error
      }
    },
  }
}

const isNearEnd = (one: Promise<Kept>): Promise<boolean> =>
  one.then(
    ({ end_ms }) => end_ms <= performance.now(),
    () => true,
  )
