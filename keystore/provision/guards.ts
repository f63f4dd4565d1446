// What could lift the guard of restores without touching its policy: policies add up, so a second one on the role, on an
// entity of somebody who asks, or on any group, opens without approval; and so does a role beside ours on the same sign-in.
import { checked } from '#keystore-client/answers.ts'
import { jwtOf, personOf, policyOf } from '#keystore-client/names.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { PURPOSES } from '#keystore-client/sign-in.ts'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { mounted } from './tenant.ts'
import { readData } from './wanted.ts'

const Keys = Type.Object({ data: Type.Object({ keys: Type.Array(Type.String()) }) })
const Aliases = Type.Object({
  data: Type.Object({ key_info: Type.Record(Type.String(), Type.Object({ name: Type.String(), mount_accessor: Type.String(), canonical_id: Type.String() })) }),
})
const SCRATCH = 'self-test-'

/** What was found, for people; empty if all is well. */
export async function liftingGuards(admin: AdminSession, tenant: string): Promise<string[]> {
  const found: string[] = []
  const role = await readData(admin, `auth/${jwtOf(tenant)}/role/restore`)
  const policies = policiesIn(role?.['token_policies'])
  if (policies.join() !== policyOf('restore', tenant) || role?.['token_no_default_policy'] !== true)
    found.push(`the role restore carries ${policies.join(', ')}${role?.['token_no_default_policy'] === true ? '' : ' and default'}`)
  const roles = await keysAt(admin, `auth/${jwtOf(tenant)}/role`)
  for (const name of roles) if (!(name in PURPOSES) && !name.startsWith(SCRATCH)) found.push(`${jwtOf(tenant)} has another role, ${name}`)
  for (const id of await keysAt(admin, 'identity/group/id')) await lookAt(admin, found, 'group', id)
  for (const id of await askersOf(admin, tenant)) await lookAt(admin, found, 'entity', id)
  return found
}

async function lookAt(admin: AdminSession, found: string[], kind: 'group' | 'entity', id: string): Promise<void> {
  const data = await readData(admin, `identity/${kind}/id/${id}`)
  const policies = policiesIn(data?.['policies'])
  if (policies.length > 0) found.push(`${kind} ${String(data?.['name'])} carries ${policies.join(', ')}`)
}

const policiesIn = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : [])

/** The entities of all who ever asked for a restore, or may approve one. */
async function askersOf(admin: AdminSession, tenant: string): Promise<ReadonlySet<string>> {
  const path = 'identity/entity-alias/id'
  const { accessor } = await mounted(admin, 'sys/auth', jwtOf(tenant))
  const { key_info } = checked(Aliases, await admin.list(path), path).data
  const askers = Object.values(key_info).filter(({ name, mount_accessor }) => mount_accessor === accessor && name.startsWith(personOf('')))
  return new Set(askers.map(({ canonical_id }) => canonical_id))
}

async function keysAt(admin: AdminSession, path: string): Promise<readonly string[]> {
  try {
    return checked(Keys, await admin.list(path), path).data.keys
  } catch (error) {
    if (isFault(error, 'KEYSTORE_NOT_FOUND')) return []
    throw error
  }
}
