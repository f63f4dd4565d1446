// What one tenant has in the keystore, in the order in which one thing needs the other.
import { setTimeout as pause } from 'node:timers/promises'
import { checked } from '#keystore-client/answers.ts'
import { approversOf, checkNames, IDENTITY_KEY, jwtOf, kvOf, policyOf, transitOf, userpassOf } from '#keystore-client/names.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { CLOCK_S, JWT_AUDIENCE, PURPOSES, type Role } from '#keystore-client/sign-in.ts'
import { isFault } from '#protocol/fault.ts'
import { type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { APPROVAL_S, policiesOf } from './policies.ts'
import type { Site } from './provision.ts'
import { bringQuotas } from './quotas.ts'
import { bring, type Note, readData } from './wanted.ts'

/** How long a token of each role is good, and for how many requests; 0: as many as there are. */
const TOKENS: Readonly<Record<Role, { readonly ttl_s: number; readonly uses: number }>> = {
  owner: { ttl_s: 60, uses: 2 },
  outbox: { ttl_s: 300, uses: 0 },
  // Whoever asks must still hold it when the approval comes; a token with counted uses could not fetch what was approved.
  restore: { ttl_s: APPROVAL_S + 60, uses: 0 },
}

/** Makes what is missing of a tenant, and puts right what differs. @returns its identity, 32 bytes in base64 */
export async function provisionTenant(admin: AdminSession, note: Note, site: Site, tenant: string): Promise<string> {
  checkNames({ tenant })
  const say: Note = change => note(`tenant ${tenant}: ${change}`)
  await mount(admin, say, 'sys/mounts', kvOf(tenant), { type: 'kv', options: { version: '2' } })
  await mount(admin, say, 'sys/mounts', transitOf(tenant), { type: 'transit' })
  await mount(admin, say, 'sys/auth', jwtOf(tenant), { type: 'jwt' })
  await mount(admin, say, 'sys/auth', userpassOf(tenant), { type: 'userpass' })
  await configureKv(admin, say, `${kvOf(tenant)}/config`)
  const identity = await identityOf(admin, say, tenant)
  const { accessor } = await mounted(admin, 'sys/auth', jwtOf(tenant))
  for (const [name, policy] of Object.entries(policiesOf(tenant, accessor))) await bring(admin, say, `policy ${name}`, `sys/policies/acl/${name}`, { policy })
  const jwt = `auth/${jwtOf(tenant)}`
  await bring(admin, say, 'sign-ins', `${jwt}/config`, {
    jwt_validation_pubkeys: [site.jwt_public_key.trim()],
    bound_issuer: site.issuer,
    jwt_supported_algs: ['ES256'],
  })
  for (const role of Object.keys(PURPOSES) as Role[]) await bring(admin, say, `role ${role}`, `${jwt}/role/${role}`, roleOf(site, tenant, role))
  await bring(admin, say, 'approvers', `identity/group/name/${approversOf(tenant)}`, { type: 'internal', policies: [] })
  await bringQuotas(admin, say, tenant, site.fetches_per_minute)
  return identity
}

/** What a role must be. */
export const roleOf = ({ callers }: Pick<Site, 'callers'>, tenant: string, role: Role): Readonly<Record<string, unknown>> => ({
  role_type: 'jwt',
  user_claim: 'sub',
  bound_audiences: [JWT_AUDIENCE],
  bound_claims: { purpose: PURPOSES[role], tenant },
  claim_mappings: { jti: 'jti', device: 'device' },
  token_policies: [policyOf(role, tenant)],
  token_no_default_policy: true,
  token_num_uses: TOKENS[role].uses,
  token_ttl: TOKENS[role].ttl_s,
  token_max_ttl: TOKENS[role].ttl_s,
  // As the server writes them: one address is no network.
  ...(callers ? { token_bound_cidrs: callers.map(network => network.replace(/\/(32|128)$/, '')) } : {}),
  expiration_leeway: CLOCK_S,
  not_before_leeway: CLOCK_S,
  clock_skew_leeway: CLOCK_S,
})

const Mount = Type.Object({
  type: Type.String(),
  accessor: Type.String({ pattern: '^[A-Za-z0-9_]+$' }),
  options: Type.Optional(Type.Union([Type.Null(), Type.Record(Type.String(), Type.Unknown())])),
})
type Kind = 'sys/mounts' | 'sys/auth'

/** The mount of this name. @throws KEYSTORE_ANSWER_INVALID */
export async function mounted(admin: AdminSession, kind: Kind, name: string): Promise<Static<typeof Mount>> {
  return checked(Mount, (await readData(admin, kind))?.[`${name}/`], kind)
}

async function mount(admin: AdminSession, note: Note, kind: Kind, name: string, wanted: { type: string; options?: { version: string } }): Promise<void> {
  const all = await readData(admin, kind)
  if (all?.[`${name}/`] === undefined) {
    await admin.write(`${kind}/${name}`, wanted)
    return note(`${wanted.type} ${name}: made`)
  }
  const { type, options } = checked(Mount, all[`${name}/`], kind)
  if (type !== wanted.type || options?.['version'] !== wanted.options?.version)
    throw fault('PROVISION_CONFLICT', { expected: `${wanted.type} at ${name}/`, found: type })
}

/** A KV mount that was just made says 400 for a moment. */
const KV_READY_MS = 5_000
const KV_AGAIN_MS = 50

async function configureKv(admin: AdminSession, note: Note, path: string): Promise<void> {
  for (const end_ms = performance.now() + KV_READY_MS; ; await pause(KV_AGAIN_MS)) {
    try {
      return await bring(admin, note, path, path, { cas_required: true, max_versions: 1 })
    } catch (error) {
      if (!isFault(error, 'KEYSTORE_REQUEST_INVALID') || performance.now() > end_ms) throw error
    }
  }
}

const IdentityKey = Type.Object({
  type: Type.Literal('ed25519'),
  exportable: Type.Literal(false),
  allow_plaintext_backup: Type.Literal(false),
  latest_version: Type.Literal(1),
  keys: Type.Object({ 1: Type.Object({ public_key: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }) }) }),
})

async function identityOf(admin: AdminSession, note: Note, tenant: string): Promise<string> {
  const path = `${transitOf(tenant)}/keys/${IDENTITY_KEY}`
  let data = await readData(admin, path)
  if (!data) {
    await admin.write(path, { type: 'ed25519' })
    note('identity key: made')
    data = await readData(admin, path)
  }
  try {
    return checked(IdentityKey, data, path).keys[1].public_key
  } catch {
    throw fault('PROVISION_CONFLICT', { expected: `an ed25519 key of version 1 at ${path} that cannot be exported`, found: 'another' })
  }
}
