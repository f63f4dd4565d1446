// From a server and a root token to the file that an appliance is set up with.
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'
import { type Access, type Connection, makeSigningKey } from '#keystore-client/connection.ts'
import { fault as clientFault } from '#keystore-client/errors.ts'
import { type AdminSession, openAdminSession } from '#keystore-client/session.ts'
import { statesOf } from '#keystore-client/state.ts'
import { createTransport, type Transport } from '#keystore-client/transport.ts'
import { provision, type Site } from './provision.ts'

export type WantedSite = Pick<Site, 'tenants' | 'fetches_per_minute' | 'callers'> & {
  /** `iss` of the appliance's sign-ins; made if absent. */
  readonly issuer?: string
  /** What was written the last time: its signing key and issuer stay. */
  readonly previous?: Connection
  /** age1…: to whom appliances seal the recovery keys of their state; left out: as before. */
  readonly recovery_recipients?: readonly string[]
}

/**
 * Provisions a site and makes its connection.
 *
 * @param access  certificate, key: the appliance's own as a client, used for provisioning too
 * @param token   root
 * @returns connection: for writeConnection(); changes: what was made or changed, one line each
 * @throws PROVISION_CONFLICT, KEYSTORE_*
 */
export async function provisionConnection(
  access: Access,
  token: string,
  { tenants, issuer, previous, recovery_recipients = previous?.recovery_recipients, ...limits }: WantedSite,
): Promise<{ connection: Connection; changes: readonly string[] }> {
  const { addresses, ca, certificate, key } = access
  const jwt_key = previous?.jwt_key ?? makeSigningKey()
  const iss = issuer ?? previous?.issuer ?? `appliance-${randomBytes(4).toString('hex')}`
  return withAdmin(access, token, async admin => {
    const { changes, identities } = await provision(admin, { issuer: iss, jwt_public_key: publicKeyOf(jwt_key), tenants, ...limits })
    const identified = Object.fromEntries(Object.entries(identities).map(([tenant, identity]) => [tenant, { identity }]))
    const recovery = recovery_recipients ? { recovery_recipients: [...recovery_recipients] } : {}
    return {
      connection: { version: 1, addresses, ca, certificate, key, issuer: iss, jwt_key, ...recovery, tenants: { ...previous?.tenants, ...identified } },
      changes,
    }
  })
}

/** Does something with a root token at the active node. @throws KEYSTORE_* */
export async function withAdmin<Result>(access: Access, token: string, use: (admin: AdminSession, transport: Transport) => Promise<Result>): Promise<Result> {
  const transport = createTransport(access)
  try {
    return await use(openAdminSession(transport, await activeOf(transport), { token, act: 'provision' }), transport)
  } finally {
    transport.close()
  }
}

async function activeOf(transport: Transport): Promise<string> {
  const states = await statesOf(transport)
  const active = states.find(({ state }) => state === 'active')
  if (active) return active.address
  const found = states.map(({ address, state }) => `${address} ${state}`).join(', ')
  const has = (wanted: string): boolean => states.some(({ state }) => state === wanted)
  throw clientFault(
    has('audit-full')
      ? 'KEYSTORE_AUDIT_FAILED'
      : has('sealed') || has('uninitialised')
        ? 'KEYSTORE_SEALED'
        : has('standby')
          ? 'KEYSTORE_LEADERLESS'
          : 'KEYSTORE_UNREACHABLE',
    { expected: 'an active node', found },
  )
}

const publicKeyOf = (jwtKey: string): string => createPublicKey(createPrivateKey(jwtKey)).export({ type: 'spki', format: 'pem' }).toString()
