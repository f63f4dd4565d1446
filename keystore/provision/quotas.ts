// The bulk brake: limits that the server itself counts, so also against whoever has the key that signs sign-ins. Each is one
// bucket for the whole tenant, and each purpose has its own: a flood of fetches stops neither escrows nor restores.
import { isDeepStrictEqual } from 'node:util'
import { jwtOf, transitOf, userpassOf } from '#keystore-client/names.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { bring, type Data, type Note, readData } from './wanted.ts'

export const FETCHES_PER_MINUTE_DEFAULT = 60
const MINUTE_S = 60
/** A round that a leader's death broke off signs in again. */
const SIGN_INS_PER_FETCH = 2
/** Signing in opens nothing: however few fetches are allowed, so many sign-ins are. */
const SIGN_INS_PER_MINUTE_MIN = 120

export const QUOTAS_PATH = 'sys/quotas/rate-limit'
const fetchesOf = (tenant: string): string => `decrypt-${tenant}`

/** By name, what each quota must be. The one without a role is for the sign-ins of all roles that have none of their own. */
function quotasOf(tenant: string, fetches: number): Readonly<Record<string, Data>> {
  const rate = Math.max(SIGN_INS_PER_MINUTE_MIN, SIGN_INS_PER_FETCH * fetches)
  const signIns = { path: `auth/${jwtOf(tenant)}/`, rate, interval: MINUTE_S }
  return {
    [fetchesOf(tenant)]: { path: `${transitOf(tenant)}/decrypt/*`, rate: fetches, interval: MINUTE_S },
    [`sign-in-${tenant}`]: signIns,
    [`sign-in-owner-${tenant}`]: { ...signIns, role: 'owner' },
    [`sign-in-restore-${tenant}`]: { ...signIns, role: 'restore' },
    [`approve-${tenant}`]: { path: `auth/${userpassOf(tenant)}/`, rate, interval: MINUTE_S },
  }
}

/** @param perMinute  fetches; if absent, what was set stays */
export async function bringQuotas(admin: AdminSession, note: Note, tenant: string, perMinute: number | undefined): Promise<void> {
  const fetches = perMinute ?? (await fetchesSet(admin, tenant)) ?? FETCHES_PER_MINUTE_DEFAULT
  // OpenBao 2.7.2 looks a quota's role up without its storage: it panics unless the mount's configuration was just read.
  await readData(admin, `auth/${jwtOf(tenant)}/config`)
  for (const [name, wanted] of Object.entries(quotasOf(tenant, fetches))) await bring(admin, note, `quota ${name}`, `${QUOTAS_PATH}/${name}`, wanted)
}

/** Names of quotas that somebody lifted or loosened; empty if all is well. */
export async function looseQuotas(admin: AdminSession, tenant: string): Promise<string[]> {
  const loose: string[] = []
  for (const [name, wanted] of Object.entries(quotasOf(tenant, (await fetchesSet(admin, tenant)) ?? FETCHES_PER_MINUTE_DEFAULT))) {
    const found = await readData(admin, `${QUOTAS_PATH}/${name}`)
    if (Object.entries(wanted).some(([field, value]) => !isDeepStrictEqual(found?.[field], value))) loose.push(name)
  }
  return loose
}

async function fetchesSet(admin: AdminSession, tenant: string): Promise<number | undefined> {
  const rate = (await readData(admin, `${QUOTAS_PATH}/${fetchesOf(tenant)}`))?.['rate']
  return typeof rate === 'number' ? rate : undefined
}
