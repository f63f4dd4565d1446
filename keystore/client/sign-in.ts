// Signing in for a tenant: a JWT (ES256) of our own key, exchanged for a token of one role. Invariants:
//   a JWT is good for 60 s, for one purpose, tenant and subject, and is made for one sign-in: the keystore would take it
//   twice within its time, so what makes a repetition visible is its `jti`, which is never used for two sign-ins;
//   a token is used only if it carries its role's one policy and nothing else: a second policy would lift the guards.
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { checked } from './answers.ts'
import type { Connection } from './connection.ts'
import { fault } from './errors.ts'
import { checkNames, jwtOf, policyOf } from './names.ts'
import { openSession } from './session.ts'
import type { Transport } from './transport.ts'

export const JWT_S = 60
export const JWT_AUDIENCE = 'keystore'
/** Clocks of appliance and keystore may differ by so much. */
export const CLOCK_S = 5

/** What each role's sign-ins say that they are for. */
export const PURPOSES = { owner: 'own-key', outbox: 'escrow', restore: 'restore' } as const
export type Role = keyof typeof PURPOSES

export type Claims = {
  readonly tenant: string
  readonly role: Role
  /** The slot of an owner; otherwise who acts. */
  readonly sub: string
  readonly jti: string
  readonly device: string
}

export type Signer = { readonly issuer: string; readonly key: KeyObject; readonly now: () => number }
export type SignedIn = { readonly token: string; readonly request_id: string; readonly length_ms: number }

/** Who signs, from a connection file. @throws KEYSTORE_CONNECTION_INVALID */
export function createSigner({ issuer, jwt_key }: Pick<Connection, 'issuer' | 'jwt_key'>, now: () => number): Signer {
  try {
    const key = createPrivateKey(jwt_key)
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return { issuer, key, now }
  } catch {}
  throw fault('KEYSTORE_CONNECTION_INVALID', { expected: 'a P-256 key that signs sign-ins', found: 'something else' })
}

/** A JWT for one sign-in. @throws KEYSTORE_NAME_INVALID */
export function signJwt({ issuer, key, now }: Signer, { tenant, role, sub, jti, device }: Claims): Promise<string> {
  checkNames({ tenant, jti, device, ...(role === 'owner' ? { slot: sub } : { device: sub }) })
  const now_s = Math.floor(now() / 1000)
  return new SignJWT({ purpose: PURPOSES[role], tenant, device })
    .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
    .setIssuer(issuer)
    .setAudience(JWT_AUDIENCE)
    .setSubject(sub)
    .setJti(jti)
    .setIssuedAt(now_s)
    .setExpirationTime(now_s + JWT_S)
    .sign(key)
}

const Login = Type.Object({
  request_id: Type.String({ maxLength: 100 }),
  auth: Type.Object({
    client_token: Type.String({ minLength: 1, maxLength: 1_000 }),
    policies: Type.Array(Type.String()),
    lease_duration: Type.Integer({ minimum: 1 }),
  }),
})

/**
 * Signs in at one node.
 *
 * @param options  act: for the keystore's audit log; timeout_ms: of the one request
 * @returns the token, which is the caller's to use up or to forget, and for how long it is good
 * @throws KEYSTORE_REFUSED       the tenant or the signing key is not what the keystore expects
 * @throws KEYSTORE_CLOCK_WRONG
 * @throws KEYSTORE_POLICY_WRONG
 * @throws KEYSTORE_*             as the node answers
 */
export async function signIn(
  transport: Transport,
  address: string,
  signer: Signer,
  claims: Claims,
  options: { act: string; timeout_ms: number },
): Promise<SignedIn> {
  const jwt = await signJwt(signer, claims)
  const path = `auth/${jwtOf(claims.tenant)}/login`
  const answer = await openSession(transport, address, options)
    .write(path, { role: claims.role, jwt })
    .catch((error: unknown) => {
      // A JWT that does not please is a bad request to the keystore.
      if (!isFault(error, 'KEYSTORE_REQUEST_INVALID', 'KEYSTORE_NOT_FOUND')) throw error
      const [here_ms, there_ms] = [signer.now(), error.facts['date_ms']]
      if (typeof there_ms === 'number' && Math.abs(there_ms - here_ms) > CLOCK_S * 1000)
        throw fault('KEYSTORE_CLOCK_WRONG', { found: `the keystore's clock says ${timeOf(there_ms)}, the appliance's ${timeOf(here_ms)}` })
      throw fault('KEYSTORE_REFUSED', {
        found: `a sign-in as ${claims.role} of tenant ${claims.tenant} that does not please ${address}`,
        next: 'see that the tenant was provisioned with this connection file',
      })
    })
  const { request_id, auth } = checked(Login, answer, path)
  const expected = policyOf(claims.role, claims.tenant)
  if (auth.policies.length !== 1 || auth.policies[0] !== expected)
    throw fault('KEYSTORE_POLICY_WRONG', { expected: `${expected} alone`, found: auth.policies.join(', ').slice(0, 200) })
  return { token: auth.client_token, request_id, length_ms: auth.lease_duration * 1000 }
}

const timeOf = (at_ms: number): string => new Date(at_ms).toISOString()
