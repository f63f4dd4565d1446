// What a node says of its seal, to anybody who may connect, and without a line in any log.
import { checked } from '#keystore-client/answers.ts'
import type { Transport } from '#keystore-client/transport.ts'
import { type Static, Type } from '#protocol/typebox.js'

const PATH = 'sys/seal-status'
const SEAL_STATUS_MS = 3_000

export const SealStatus = Type.Object({
  initialized: Type.Boolean(),
  sealed: Type.Boolean(),
  /** Shares that it takes, of how many, and how many were given since the last success or failure. */
  t: Type.Integer({ minimum: 0 }),
  n: Type.Integer({ minimum: 0 }),
  progress: Type.Integer({ minimum: 0 }),
  /** Of this attempt to unseal; empty if there is none. */
  nonce: Type.String({ maxLength: 100 }),
  version: Type.String({ maxLength: 100 }),
})
export type SealStatus = Static<typeof SealStatus>

/** Asks one node; while it unseals it may take its time. @throws KEYSTORE_UNREACHABLE, KEYSTORE_UNTRUSTED, KEYSTORE_ANSWER_INVALID */
export async function sealStatusOf(transport: Transport, address: string, timeout_ms = SEAL_STATUS_MS): Promise<SealStatus> {
  return checked(SealStatus, (await transport.send({ address, method: 'GET', path: PATH, timeout_ms })).body, PATH)
}
