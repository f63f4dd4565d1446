// What is done day by day, each by a token that can do that and nothing else. Such a token is made with a root token, once;
// it lives for 32 days from its last use, so an unattended one that is used stays, and one that is forgotten ends.
//   watch     sees who votes, and whether a root token or new shares are being made
//   snapshot  takes snapshots: what it gets is encrypted by the keystore's own seal
//   drill     lets the keystore try whether it still opens an escrow, without seeing what is in it
//   quorum    may begin to make a root token, which takes three holders' shares as well
// None of them opens a key, gives a right, or changes anything. No token stands that could erase (OPERATING.md, "Erasing").
import { checked } from '#keystore-client/answers.ts'
import { checkNames, kvOf, transitOf } from '#keystore-client/names.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { bring } from '#keystore-provision/wanted.ts'
import { Type } from '#protocol/typebox.js'

export const DUTIES = ['watch', 'snapshot', 'drill', 'quorum'] as const
export type Duty = (typeof DUTIES)[number]

const PERIOD = '768h'
const TOKEN_PATH = 'auth/token/create-orphan'
const Made = Type.Object({ auth: Type.Object({ client_token: Type.String({ minLength: 8, maxLength: 1_000 }), policies: Type.Array(Type.String()) }) })

const grant = (path: string, capability: string, more = ''): string =>
  `path "${path}" {\n  capabilities = [${capability
    .split(' ')
    .map(one => `"${one}"`)
    .join(', ')}]\n${more}}\n`
const ONLY_CIPHERTEXT = '  allowed_parameters = { "ciphertext" = [] }\n'

const GRANTS: Readonly<Record<Duty, (tenants: readonly string[]) => string>> = {
  watch: () => ['sys/storage/raft/configuration', 'sys/generate-root-token/attempt', 'sys/rotate/root/init'].map(path => grant(path, 'read')).join(''),
  quorum: () => ['attempt', 'update'].map(path => grant(`sys/generate-root-token/${path}`, 'create read update delete sudo')).join(''),
  snapshot: () => grant('sys/storage/raft/snapshot', 'read'),
  drill: tenants =>
    tenants.map(tenant => grant(`${kvOf(tenant)}/data/+/+`, 'read') + grant(`${transitOf(tenant)}/rewrap/+`, 'update', ONLY_CIPHERTEXT)).join(''),
}

/** The policy of a duty, in the words of the server. */
export const dutyPolicy = (duty: Duty, tenants: readonly string[]): string => `${GRANTS[duty](tenants)}${grant('auth/token/renew-self', 'update')}`

/**
 * Makes a token for a duty, and its policy if that is missing or another.
 *
 * @param admin    with a root token
 * @param tenants  all of them: the policy is for these alone
 */
export async function makeDutyToken(admin: AdminSession, duty: Duty, tenants: readonly string[]): Promise<string> {
  for (const tenant of tenants) checkNames({ tenant })
  const name = `duty-${duty}`
  await bring(admin, () => {}, name, `sys/policies/acl/${name}`, { policy: dutyPolicy(duty, tenants) })
  const wanted = { policies: [name], no_default_policy: true, period: PERIOD, display_name: name }
  return checked(Made, await admin.write(TOKEN_PATH, wanted), TOKEN_PATH).auth.client_token
}
