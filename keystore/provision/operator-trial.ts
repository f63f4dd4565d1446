// What an operator can do, and what not: keeps the servers going, reads no key, gives nobody a right.
import { checked } from '#keystore-client/answers.ts'
import { approversOf, jwtOf, kvOf, policyOf, transitOf } from '#keystore-client/names.ts'
import type { Method } from '#keystore-client/transport.ts'
import { Type } from '#protocol/typebox.js'
import { OPERATOR_POLICY } from './policies.ts'
import { attempt, type Trial } from './trial.ts'

const TOKEN = 'auth/token/create'
const Made = Type.Object({ auth: Type.Object({ client_token: Type.String() }) })

/** Rows of the operator's policy. */
export async function tryOperator(trial: Trial): Promise<void> {
  const { admin, tenant, mine } = trial
  const token = checked(Made, await admin.write(TOKEN, { policies: [OPERATOR_POLICY], no_default_policy: true, ttl: '5m' }), TOKEN).auth.client_token
  trial.undo.push(() => admin.write('auth/token/revoke', { token }))
  const [kv, transit] = [kvOf(tenant), transitOf(tenant)]
  const data = `${kv}/data/${mine.slot}/${mine.kid}`
  const tries: readonly [what: string, expected: number, path: string, body?: object | undefined, method?: Method][] = [
    ['an operator sees the mounts', 200, 'sys/mounts', undefined, 'GET'],
    ['an operator reads an escrow', 403, data, undefined, 'GET'],
    ['an operator lists slots', 403, `${kv}/metadata`, undefined, 'LIST'],
    ['an operator deletes an escrow', 403, `${kv}/metadata/${mine.slot}/${mine.kid}`, undefined, 'DELETE'],
    ['an operator opens an escrow', 403, `${transit}/decrypt/${mine.slot}`, { ciphertext: mine.sealed }],
    ["an operator makes a slot's key exportable", 403, `${transit}/keys/${mine.slot}/config`, { exportable: true }],
    ["an operator exports a slot's key", 403, `${transit}/export/encryption-key/${mine.slot}`, undefined, 'GET'],
    ['an operator lets opened keys into the audit log', 403, `sys/mounts/${transit}/tune`, { audit_non_hmac_response_keys: ['plaintext'] }],
    ['an operator removes a mount', 403, `sys/mounts/${kv}`, undefined, 'DELETE'],
    ['an operator moves a mount', 403, 'sys/remount', { from: `${kv}/`, to: 'moved/' }],
    ['an operator writes a policy', 403, `sys/policies/acl/${policyOf('owner', tenant)}`, { policy: '' }],
    ['an operator changes a role', 403, `auth/${jwtOf(tenant)}/role/owner`, { token_policies: [OPERATOR_POLICY] }],
    ['an operator makes an approver', 403, `identity/group/name/${approversOf(tenant)}`, { type: 'internal' }],
    ['an operator makes a token', 403, TOKEN, { policies: ['root'] }],
    ['an operator makes a root token', 403, 'sys/generate-root-token/attempt', {}],
  ]
  for (const [what, expected, path, body, method = 'POST'] of tries) await attempt(trial, what, expected, { token, method, path, body })
}
