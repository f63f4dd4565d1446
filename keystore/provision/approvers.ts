// Approvers: people who may release a restore, with a sign-in of their own at the keystore (userpass-<tenant>). Invariants:
//   one person is one entity, whether they ask (through the appliance, as p-<name>) or approve (by their own sign-in):
//   otherwise the keystore could not see that somebody approves what they asked for themselves;
//   no entity and no group carries a policy: it would be added to every token of theirs, and could lift the guard.
import { checked } from '#keystore-client/answers.ts'
import { approversOf, checkNames, jwtOf, personOf, policyOf, userpassOf } from '#keystore-client/names.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { mounted } from './tenant.ts'
import { readData } from './wanted.ts'

const TOKEN_S = 600
const Entity = Type.Object({ data: Type.Object({ id: Type.String({ pattern: '^[0-9a-f-]{36}$' }) }) })

/**
 * Makes a person an approver of a tenant, or gives them a new password.
 *
 * @param admin  with a root token
 * @param name   of the person, as the appliance knows them when they ask
 * @throws APPROVER_UNUSABLE the name belongs to two people here
 */
export async function addApprover(admin: AdminSession, tenant: string, name: string, password: string): Promise<void> {
  checkNames({ tenant, device: name })
  const [userpass, jwt] = [await mounted(admin, 'sys/auth', userpassOf(tenant)), await mounted(admin, 'sys/auth', jwtOf(tenant))]
  const aliases = [
    { name, mount_accessor: userpass.accessor },
    { name: personOf(name), mount_accessor: jwt.accessor },
  ]
  const known = [...new Set((await Promise.all(aliases.map(alias => entityOf(admin, alias)))).filter(id => id !== undefined))]
  if (known.length > 1) throw fault('APPROVER_UNUSABLE', { expected: `one entity for ${name} and ${personOf(name)}`, found: 'two' })
  const canonical_id = known[0] ?? checked(Entity, await admin.write('identity/entity', {}), 'identity/entity').data.id
  for (const alias of aliases) if ((await entityOf(admin, alias)) === undefined) await admin.write('identity/entity-alias', { ...alias, canonical_id })
  await admin.write(`auth/${userpassOf(tenant)}/users/${name}`, {
    password,
    token_policies: [policyOf('approver', tenant)],
    token_no_default_policy: true,
    token_ttl: TOKEN_S,
    token_max_ttl: TOKEN_S,
  })
  await setMembers(admin, tenant, members => [...new Set([...members, canonical_id])])
}

/** Takes a person out: no sign-in, no approvals. What they asked for stays as it is. */
export async function removeApprover(admin: AdminSession, tenant: string, name: string): Promise<void> {
  checkNames({ tenant, device: name })
  const { accessor } = await mounted(admin, 'sys/auth', userpassOf(tenant))
  const id = await entityOf(admin, { name, mount_accessor: accessor })
  await admin.remove(`auth/${userpassOf(tenant)}/users/${name}`)
  if (id !== undefined) await setMembers(admin, tenant, members => members.filter(member => member !== id))
}

/** The entity behind a sign-in; undefined if there was none yet. */
export async function entityOf(admin: AdminSession, alias: { name: string; mount_accessor: string }): Promise<string | undefined> {
  const answer = await admin.write('identity/lookup/entity', { alias_name: alias.name, alias_mount_accessor: alias.mount_accessor })
  // No content, if there is none.
  return answer === undefined ? undefined : checked(Entity, answer, 'identity/lookup/entity').data.id
}

async function setMembers(admin: AdminSession, tenant: string, change: (members: readonly string[]) => readonly string[]): Promise<void> {
  const path = `identity/group/name/${approversOf(tenant)}`
  const members = ((await readData(admin, path))?.['member_entity_ids'] ?? []) as readonly string[]
  await admin.write(path, { type: 'internal', policies: [], member_entity_ids: change(members) })
}
