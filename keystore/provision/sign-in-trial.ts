// Sign-ins that are not what they must be, each wrong in one way; and a connection without a client certificate.
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { request } from 'node:https'
import { SignJWT, UnsecuredJWT } from 'jose'
import { jwtOf } from '#keystore-client/names.ts'
import { JWT_AUDIENCE, JWT_S, PURPOSES } from '#keystore-client/sign-in.ts'
import { note, send, type Trial } from './trial.ts'

const HOUR_S = 3_600
const HANDSHAKE_MS = 5_000

/** Rows of sign-ins. */
export async function trySignIns(trial: Trial): Promise<void> {
  const { connection, tenant, stranger, mine, signer } = trial
  const now_s = Math.floor(Date.now() / 1000)
  const good = {
    iss: connection.issuer,
    aud: JWT_AUDIENCE,
    sub: mine.slot,
    iat: now_s,
    exp: now_s + JWT_S,
    purpose: PURPOSES.owner,
    tenant,
    device: 'self-test',
    jti: randomBytes(16).toString('hex'),
  }
  const signed = (changes: object = {}, key = signer.key): Promise<string> =>
    new SignJWT({ ...good, ...changes }).setProtectedHeader({ alg: 'ES256', typ: 'JWT' }).sign(key)
  const login = async (jwt: string, role = 'owner', at = tenant): Promise<string> =>
    `${(await send(trial, { path: `auth/${jwtOf(at)}/login`, body: { role, jwt } })).status}`

  const publicPem = createPublicKey(createPrivateKey(connection.jwt_key)).export({ type: 'spki', format: 'pem' })
  const forger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const forged: readonly [what: string, jwt: string, role?: string][] = [
    ['a sign-in signed with another key', await signed({}, forger)],
    ['a sign-in without a signature', new UnsecuredJWT(good).encode()],
    ['a sign-in signed with the public key as a password', await new SignJWT(good).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(publicPem))],
    ['a sign-in for another tenant', await signed({ tenant: stranger })],
    ['a sign-in for another purpose', await signed({ purpose: PURPOSES.outbox })],
    ['a sign-in for another audience', await signed({ aud: 'storage' })],
    ['a sign-in of another issuer', await signed({ iss: 'somebody' })],
    ['a sign-in of nobody', await signed({ sub: undefined })],
    ['a sign-in of an owner in the role of the outbox', await signed(), 'outbox'],
    ['a sign-in of an owner in the role of a restore', await signed(), 'restore'],
    ['a sign-in that is repeated after its time', await signed({ iat: now_s - HOUR_S, exp: now_s - HOUR_S + JWT_S })],
    ['a sign-in from the future', await signed({ iat: now_s + HOUR_S, nbf: now_s + HOUR_S, exp: now_s + HOUR_S + JWT_S })],
  ]
  for (const [what, jwt, role] of forged) note(trial, what, '400', await login(jwt, role))
  // The server has no memory of sign-ins: what stands against it is in KEYSTORE.md, "A sign-in that is repeated".
  const twice = await signed()
  note(
    trial,
    `a sign-in repeated within its ${JWT_S} s: accepted, and told by its jti in the audit log`,
    '200 200',
    `${await login(twice)} ${await login(twice)}`,
  )
  note(trial, 'a connection without a client certificate', 'no answer', await withoutCertificate(trial))
}

/** TLS 1.3 refuses after the client's side of the handshake is done: so something must be asked. */
function withoutCertificate({ address, connection }: Trial): Promise<string> {
  return new Promise(resolve => {
    const asked = request(`${address}/v1/sys/seal-status`, { agent: false, ca: connection.ca, minVersion: 'TLSv1.3', timeout: HANDSHAKE_MS }, answer => {
      answer.resume()
      resolve(`${answer.statusCode}`)
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve('no answer'))
    asked.end()
  })
}
