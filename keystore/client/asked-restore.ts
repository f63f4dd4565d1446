// A restore for somebody else: opening a slot that is not the asker's own. The keystore opens nothing before another person,
// with a sign-in of their own, has released this one request. What stands for the request (a token) lives in this process
// only, until it is fetched, given up, or too old; after a restart somebody asks anew.
import { OPENED_BYTES } from '#keystore-seal/sealed-key-head.ts'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { checked } from './answers.ts'
import { fault } from './errors.ts'
import { checkNames, kvOf, personOf, SEALED_PATTERN, transitOf, userpassOf } from './names.ts'
import type { OpenedEscrow } from './open-own.ts'
import { takeOpened } from './opened-answer.ts'
import { ROUND_REQUEST_MS, type Rounds } from './rounds.ts'
import { openSession } from './session.ts'
import { type Signer, signIn } from './sign-in.ts'
import type { Transport } from './transport.ts'

const LOOK_PATH = 'sys/control-group/request'
const UNWRAP_PATH = 'sys/wrapping/unwrap'
const END_PATH = 'auth/token/revoke-self'

export type RestoreFacts = {
  /** Of this act: 128 random bits in hex, also in our own audit record. */
  readonly jti: string
  /** Who asks, as the appliance knows them; the keystore compares with who approves. */
  readonly asker: string
}

export type AskedRestore = {
  /** What an approver names at the keystore; it gives nothing by itself. */
  readonly accessor: string
  /**
   * Whether it was released, and by whom, by their names at the keystore; opens nothing.
   *
   * @returns undefined if the keystore does not let the asker look: it was provisioned by an older version
   * @throws APPROVAL_MISSING  it is too old
   */
  look(): Promise<{ readonly isReleased: boolean; readonly approvers: readonly string[] } | undefined>
  /**
   * Fetches what was opened; afterwards the sign-in is ended, so that nothing can be fetched again.
   *
   * @throws APPROVAL_MISSING  nobody has released it yet, or it is too old; it may be tried again
   */
  fetch(): Promise<OpenedEscrow>
  /** Ends the sign-in: what was asked for can't be released any more. Never throws. */
  giveUp(): Promise<void>
}

const Stored = Type.Object({ data: Type.Object({ data: Type.Object({ sealed: Type.String({ pattern: SEALED_PATTERN }) }) }) })
const Ticket = Type.String({ minLength: 1, maxLength: 1_000 })
const Looked = Type.Object({
  data: Type.Object({ approved: Type.Boolean(), authorizations: Type.Array(Type.Object({ entity_name: Type.String({ maxLength: 200 }) }), { maxItems: 20 }) }),
})
const Wrapped = Type.Object({ request_id: Type.String({ maxLength: 100 }), wrap_info: Type.Object({ token: Ticket, accessor: Ticket }) })

/**
 * Asks for one slot to be opened.
 *
 * @throws ESCROW_MISSING, KEYSTORE_*
 */
export async function askRestore(
  { transport, rounds, signer }: { transport: Transport; rounds: Rounds; signer: Signer },
  tenant: string,
  slot: string,
  kid: string,
  { jti, asker }: RestoreFacts,
): Promise<AskedRestore> {
  checkNames({ tenant, slot, kid, jti, device: asker })
  const kvPath = `${kvOf(tenant)}/data/${slot}/${kid}`
  const openPath = `${transitOf(tenant)}/decrypt/${slot}`
  const asked = await rounds.run(async (address, attempt) => {
    const claims = { tenant, role: 'restore', sub: personOf(asker), jti: `${jti}-${attempt}`, device: asker } as const
    const own = await signIn(transport, address, signer, claims, { act: jti, timeout_ms: ROUND_REQUEST_MS })
    const session = openSession(transport, address, { token: own.token, act: jti, timeout_ms: ROUND_REQUEST_MS })
    const answer = await session.read(kvPath).catch((error: unknown) => {
      throw isFault(error, 'KEYSTORE_NOT_FOUND') ? fault('ESCROW_MISSING', { found: `nothing under ${slot}/${kid} of tenant ${tenant}` }) : error
    })
    const ciphertext = checked(Stored, answer, kvPath).data.data.sealed
    const { request_id, wrap_info } = checked(Wrapped, await session.write(openPath, { ciphertext }), openPath)
    return { token: own.token, wrap: wrap_info.token, accessor: wrap_info.accessor, request_ids: [own.request_id, request_id] }
  })
  const end = async (): Promise<void> => {
    await rounds
      .run(address => openSession(transport, address, { token: asked.token, act: jti, timeout_ms: ROUND_REQUEST_MS }).write(END_PATH, {}))
      // It ends by itself, soon.
      .catch(() => {})
  }
  return {
    accessor: asked.accessor,
    async look() {
      try {
        const answer = await rounds.run(address =>
          openSession(transport, address, { token: asked.token, act: jti, timeout_ms: ROUND_REQUEST_MS }).write(LOOK_PATH, { accessor: asked.accessor }),
        )
        const { approved, authorizations } = checked(Looked, answer, LOOK_PATH).data
        // A sign-in is called by its mount and its name.
        const begin = `${userpassOf(tenant)}-`
        return { isReleased: approved, approvers: authorizations.map(({ entity_name: name }) => (name.startsWith(begin) ? name.slice(begin.length) : name)) }
      } catch (error) {
        if (isFault(error, 'KEYSTORE_REFUSED')) return undefined
        throw isFault(error, 'KEYSTORE_REQUEST_INVALID') ? fault('APPROVAL_MISSING', { cause: error }) : error
      }
    },
    async fetch() {
      const { opened, request_id } = await rounds
        .run(async address => {
          const session = openSession(transport, address, { token: asked.token, act: jti, timeout_ms: ROUND_REQUEST_MS })
          return takeOpened(await session.writeForBytes(UNWRAP_PATH, { token: asked.wrap }), OPENED_BYTES, UNWRAP_PATH)
        })
        .catch((error: unknown) => {
          throw isFault(error, 'KEYSTORE_REQUEST_INVALID', 'KEYSTORE_REFUSED') ? fault('APPROVAL_MISSING', { cause: error }) : error
        })
      await end()
      // What was put off has no name of its own before it is done.
      return { opened, request_ids: [...asked.request_ids, request_id].filter(id => id !== '') }
    },
    giveUp: end,
  }
}
