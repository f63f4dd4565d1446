// A root token from three holders, when something must be done that nobody may do alone. It takes a token of the duty
// `quorum`, which can begin this and nothing else. It is made masked with a password that only who began knows, so the
// keystore's answers and its audit log never hold it.
import { checked } from '#keystore-client/answers.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

const ATTEMPT = 'sys/generate-root-token/attempt'
const UPDATE = 'sys/generate-root-token/update'
const State = Type.Object({ data: Type.Object({ started: Type.Boolean() }) })
const Begun = Type.Object({ data: Type.Object({ nonce: Type.String({ minLength: 1, maxLength: 100 }), otp: Type.String({ minLength: 1, maxLength: 200 }) }) })
const Updated = Type.Object({
  data: Type.Object({
    complete: Type.Boolean(),
    progress: Type.Integer(),
    required: Type.Integer(),
    encoded_token: Type.Optional(Type.String({ maxLength: 400 })),
  }),
})

/**
 * Makes one.
 *
 * @param session    with a token of the duty `quorum`
 * @param nextShare  the next holder's
 * @param say        told how far it is
 * @returns the token: use it, then revoke it
 * @throws ROOT_TOKEN_REFUSED  another attempt is under way, or the shares do not fit; nothing was made
 * @throws KEYSTORE_*
 */
export async function makeRootToken(session: AdminSession, nextShare: () => Promise<string>, say: (line: string) => void): Promise<string> {
  if (checked(State, await session.read(ATTEMPT), ATTEMPT).data.started) throw fault('ROOT_TOKEN_REFUSED', { found: 'somebody else has begun to make one' })
  const { nonce, otp } = checked(Begun, await session.write(ATTEMPT, {}), ATTEMPT).data
  try {
    for (;;) {
      const key = await nextShare()
      const { complete, progress, required, encoded_token } = checked(Updated, await session.write(UPDATE, { key, nonce }), UPDATE).data
      if (complete && encoded_token !== undefined) return unmasked(encoded_token, otp)
      say(`${progress} of ${required} shares`)
    }
  } catch (error) {
    // Whatever was given is forgotten.
    await session.remove(ATTEMPT).catch(() => {})
    if (isFault(error, 'KEYSTORE_REQUEST_INVALID', 'KEYSTORE_FAILED'))
      throw fault('ROOT_TOKEN_REFUSED', { found: 'shares that do not belong together', cause: error })
    throw error
  }
}

function unmasked(encoded: string, otp: string): string {
  const pad = Buffer.from(otp, 'utf8')
  return Buffer.from(Buffer.from(encoded, 'base64').map((byte, at) => byte ^ (pad[at] ?? 0))).toString('utf8')
}
