// A root token for a keystore that has none any more, from the shares of three holders.
import { Type } from '#protocol/typebox.js'
import type { Asker } from './ask.ts'
import { fault } from './errors.ts'
import { SHARES_NEEDED } from './node.ts'

const ATTEMPT = 'sys/generate-root/attempt'
const Begun = Type.Object({ nonce: Type.String({ minLength: 1, maxLength: 100 }), otp: Type.String({ minLength: 1, maxLength: 200 }) })
const Updated = Type.Object({ complete: Type.Boolean(), encoded_token: Type.Optional(Type.String({ maxLength: 400 })) })

/**
 * Makes a root token. The server must allow it without a token (`makesRoot`): it is for development.
 *
 * @throws KEYSTORE_SERVER_FAILED
 */
export async function makeRootToken(server: Asker, shares: readonly string[]): Promise<string> {
  // One that was begun and never ended would be in the way.
  await server.ask({ method: 'DELETE', path: ATTEMPT })
  const { nonce, otp } = await server.askFor(Begun, { method: 'PUT', path: ATTEMPT, body: {} })
  for (const key of shares.slice(0, SHARES_NEEDED)) {
    const { complete, encoded_token } = await server.askFor(Updated, { method: 'PUT', path: 'sys/generate-root/update', body: { key, nonce } })
    if (complete && encoded_token !== undefined) return unmasked(encoded_token, otp)
  }
  throw fault('KEYSTORE_SERVER_FAILED', { expected: `a root token after ${SHARES_NEEDED} shares`, found: 'none' })
}

/** The token is handed out as its XOR with a password that only who began knows. */
function unmasked(encoded: string, otp: string): string {
  const pad = Buffer.from(otp, 'utf8')
  return Buffer.from(Buffer.from(encoded, 'base64').map((byte, at) => byte ^ (pad[at] ?? 0))).toString('utf8')
}

/** Makes a token worthless. @throws KEYSTORE_SERVER_FAILED */
export async function revokeToken(server: Asker, token: string): Promise<void> {
  const { status } = await server.ask({ method: 'PUT', path: 'auth/token/revoke-self', token })
  if (status !== 204) throw fault('KEYSTORE_SERVER_FAILED', { expected: 'the root token to be revoked', found: `${status || 'no answer'}` })
}
