// Making a slot: the keystore makes an RSA-3072 key that never leaves it, and the tenant's identity signs its public half.
// The keystore makes six to nine a second, so slots are made ahead of need. Making one that is there changes nothing.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { checkSlot, IDENTITY_BYTES, type Slot, slotStatement } from '#keystore-seal/slot.ts'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { checked } from './answers.ts'
import { fault } from './errors.ts'
import { checkNames, IDENTITY_KEY, transitOf } from './names.ts'
import type { Outbox } from './outbox.ts'
import type { Rounds } from './rounds.ts'
import type { Session } from './session.ts'
import { ANSWER_MS } from './transport.ts'
import { createTurns } from './turns.ts'

export const SLOT_KEY_TYPE = 'rsa-3072'
/** More at once make none of them sooner, and all of them late. */
const AT_ONCE_MAX = 2

const Made = Type.Object({ data: Type.Object({ keys: Type.Object({ 1: Type.Object({ public_key: Type.String({ maxLength: 4_096 }) }) }) }) })
const Signed = Type.Object({ data: Type.Object({ signature: Type.String({ pattern: '^vault:v1:[A-Za-z0-9+/]{86}==$' }) }) })

export type Slots = {
  /**
   * Makes a slot and has it signed.
   *
   * @param identity  the tenant's, from the connection file: what the keystore answers is checked against it
   * @throws SLOT_UNTRUSTED, KEYSTORE_*
   */
  make(tenant: string, slot: string, identity: string): Promise<Pick<Slot, 'public_key' | 'signature'>>
}

/** Slots made through this outbox, a few at once. */
export function createSlots(rounds: Rounds, outbox: Outbox): Slots {
  const inTurn = createTurns(AT_ONCE_MAX)
  return {
    async make(tenant, slot, identity) {
      checkNames({ tenant, slot })
      const act = (session: Session): Promise<Slot> => makeAndSign(session, tenant, slot)
      // Finding two primes has no upper bound: it may take as long as any request.
      const made = await inTurn(() => rounds.run(address => outbox.at(address, tenant, act, ANSWER_MS)))
      checkTrusted(made, identity)
      return { public_key: made.public_key, signature: made.signature }
    },
  }
}

async function makeAndSign(session: Session, tenant: string, slot: string): Promise<Slot> {
  const [keyPath, signPath] = [`${transitOf(tenant)}/keys/${slot}`, `${transitOf(tenant)}/sign/${IDENTITY_KEY}`]
  const public_key = checked(Made, await session.write(keyPath, { type: SLOT_KEY_TYPE }), keyPath).data.keys[1].public_key
  const input = slotStatement(tenant, slot, parsePublicKey(public_key, keyPath)).toString('base64')
  const signature = checked(Signed, await session.write(signPath, { input }), signPath).data.signature.split(':')[2] ?? ''
  return { tenant, slot, public_key, signature }
}

function parsePublicKey(pem: string, path: string): KeyObject {
  try {
    return createPublicKey(pem)
  } catch {
    throw fault('KEYSTORE_ANSWER_INVALID', { expected: 'a public key', found: `something else from ${path}` })
  }
}

/** What the agent will check against the pairing link is checked here first. */
function checkTrusted(made: Slot, identity: string): void {
  const bytes = Buffer.from(identity, 'base64')
  try {
    if (bytes.length === IDENTITY_BYTES) return void checkSlot(made, bytes)
  } catch (error) {
    if (!isFault(error, 'SLOT_FORGED')) throw error
  }
  throw fault('SLOT_UNTRUSTED', { expected: `a signature by the identity of tenant ${made.tenant}`, found: `another on slot ${made.slot}` })
}
