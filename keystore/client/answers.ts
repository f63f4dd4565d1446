// What an answer that is not a success means. The server's own text is looked at and never passed on: it can repeat input.
// Some statuses stand for different things, which are told apart here:
//   307  a standby without a leader. It is never followed, so a redirect to anywhere else means the same: not here;
//   429  a quota; on sys/health alone it is a standby, which is no failure (state.ts);
//   500  a standby that lost its leader; an audit log that cannot be written ("internal error", while the node's health is
//        well); a ciphertext that does not open; somebody who releases what they asked for themselves, or released already; or a failure.
import type { Fault } from '#protocol/fault.ts'
import { Check, type Static, type TSchema, Type } from '#protocol/typebox.js'
import { fault, type KEYSTORE_ERRORS } from './errors.ts'
import type { Answered, Asked, Transport } from './transport.ts'

export const HEALTH_PATH = 'sys/health'
export const HEALTH_ACTIVE = 200
const HEALTH_MS = 2_000
const Errors = Type.Object({ errors: Type.Array(Type.String()) })

/** The status of a node's health, which needs no token and leaves no line in the audit log. */
export async function healthOf(transport: Transport, address: string): Promise<number> {
  return (await transport.send({ address, method: 'GET', path: HEALTH_PATH, timeout_ms: HEALTH_MS })).status
}

/** The fault that an answer of 300 or more stands for; a node that fails without a reason is asked for its health. */
export async function faultOfAnswer(transport: Transport, asked: Asked, { status, body, date_ms }: Answered): Promise<Fault> {
  const said = Check(Errors, body) ? body.errors.join(' ') : ''
  const isAudit = status === 500 && /internal error/.test(said) && (await healthOf(transport, asked.address).catch(() => 0)) === HEALTH_ACTIVE
  return fault(isAudit ? 'KEYSTORE_AUDIT_FAILED' : codeOf(status, said), {
    found: `${status} for ${asked.method} ${asked.path} at ${asked.address}`,
    facts: { date_ms },
  })
}

function codeOf(status: number, said: string): keyof typeof KEYSTORE_ERRORS {
  if (status < 400) return 'KEYSTORE_LEADERLESS'
  if (status === 403) return 'KEYSTORE_REFUSED'
  if (status === 404) return 'KEYSTORE_NOT_FOUND'
  if (status === 429) return 'KEYSTORE_BUSY'
  if (status < 500) return 'KEYSTORE_REQUEST_INVALID'
  if (status === 501 || status === 503) return 'KEYSTORE_SEALED'
  if (/RSA decrypt/.test(said)) return 'ESCROW_UNREADABLE'
  if (/cannot be approver/.test(said)) return 'APPROVAL_OWN'
  if (/already authorized/.test(said)) return 'APPROVAL_GIVEN'
  return /cluster node not found|not the leader|leadership lost/.test(said) ? 'KEYSTORE_LEADERLESS' : 'KEYSTORE_FAILED'
}

/**
 * An answer's body, if it has the agreed shape.
 *
 * @throws KEYSTORE_ANSWER_INVALID
 */
export function checked<Schema extends TSchema>(schema: Schema, body: unknown, path: string): Static<Schema> {
  if (!Check(schema, body)) throw fault('KEYSTORE_ANSWER_INVALID', { found: `another shape from ${path}` })
  return body
}
