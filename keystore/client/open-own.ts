// Bringing a user's own W back: one sign-in for one slot, with a token of two uses, read and decrypt. The whole round is done
// again on the next address when a node goes away; each sign-in of it has its own jti (<jti>-1, <jti>-2, …), so that the same
// jti twice in the keystore's audit log is always somebody who repeated a sign-in that was not theirs.
import type { SecureBuffer } from 'sodium-native'
import { OPENED_BYTES } from '#keystore-seal/sealed-key-head.ts'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { checked } from './answers.ts'
import { fault } from './errors.ts'
import { checkNames, kvOf, SEALED_PATTERN, transitOf } from './names.ts'
import { takeOpened } from './opened-answer.ts'
import { ROUND_REQUEST_MS, type Rounds } from './rounds.ts'
import { openSession } from './session.ts'
import { type Signer, signIn } from './sign-in.ts'
import type { Transport } from './transport.ts'

export type OpenedEscrow = {
  /** W ‖ SHA-256 of the sealed key, in secure memory: the caller's to wipe and free. */
  readonly opened: SecureBuffer
  /** The keystore's names of the sign-in, the read and the decrypt, as they are in its audit log. */
  readonly request_ids: readonly string[]
}
export type Facts = {
  /** Of this act: 128 random bits in hex, also in our own audit record. */
  readonly jti: string
  /** The device that the key is for. */
  readonly device: string
}

const Stored = Type.Object({
  request_id: Type.String({ maxLength: 100 }),
  data: Type.Object({ data: Type.Object({ sealed: Type.String({ pattern: SEALED_PATTERN }) }) }),
})

/**
 * Fetches and opens the escrow of one slot.
 *
 * @throws ESCROW_MISSING, ESCROW_UNREADABLE, KEYSTORE_*
 */
export async function openOwn(
  { transport, rounds, signer }: { transport: Transport; rounds: Rounds; signer: Signer },
  tenant: string,
  slot: string,
  kid: string,
  { jti, device }: Facts,
): Promise<OpenedEscrow> {
  checkNames({ tenant, slot, kid, jti, device })
  const [kvPath, openPath] = [`${kvOf(tenant)}/data/${slot}/${kid}`, `${transitOf(tenant)}/decrypt/${slot}`]
  return rounds.run(async (address, attempt) => {
    const claims = { tenant, role: 'owner', sub: slot, jti: `${jti}-${attempt}`, device } as const
    const own = await signIn(transport, address, signer, claims, { act: jti, timeout_ms: ROUND_REQUEST_MS })
    const session = openSession(transport, address, { token: own.token, act: jti, timeout_ms: ROUND_REQUEST_MS })
    const answer = await session.read(kvPath).catch((error: unknown) => {
      throw isFault(error, 'KEYSTORE_NOT_FOUND') ? fault('ESCROW_MISSING', { found: `nothing under ${slot}/${kid} of tenant ${tenant}` }) : error
    })
    const stored = checked(Stored, answer, kvPath)
    const { opened, request_id } = takeOpened(await session.writeForBytes(openPath, { ciphertext: stored.data.data.sealed }), OPENED_BYTES, openPath)
    return { opened, request_ids: [own.request_id, stored.request_id, request_id] }
  })
}
