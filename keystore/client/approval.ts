// Agreeing to a restore for somebody else, by a person with a sign-in of their own at the keystore. Nothing of the appliance
// takes part: an appliance that was taken over can't agree with itself.
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { checked } from './answers.ts'
import { fault } from './errors.ts'
import { checkNames, personOf, userpassOf } from './names.ts'
import { createRounds, ROUND_REQUEST_MS } from './rounds.ts'
import { openSession } from './session.ts'
import type { Transport } from './transport.ts'

const REQUEST_PATH = 'sys/control-group/request'
const RELEASE_PATH = 'sys/control-group/authorize'
const END_PATH = 'auth/token/revoke-self'

const Login = Type.Object({ auth: Type.Object({ client_token: Type.String({ minLength: 1, maxLength: 1_000 }), entity_id: Type.String() }) })
const Requested = Type.Object({
  data: Type.Object({
    request_path: Type.String({ maxLength: 1_000 }),
    /** OpenBao writes ID, Vault documents id. */
    request_entity: Type.Object({
      ID: Type.Optional(Type.String()),
      id: Type.Optional(Type.String()),
      aliases: Type.Optional(Type.Array(Type.Object({ name: Type.String() }))),
    }),
  }),
})
const Released = Type.Object({ data: Type.Object({ approved: Type.Boolean() }) })

export type Request = {
  /** As the keystore shows it: which slot of which tenant would be opened. */
  readonly path: string
  /** Who asks, as the appliance knows them. */
  readonly asker: string | undefined
}

export type Approver = {
  /** What is asked for. @throws APPROVAL_UNKNOWN */
  look(accessor: string): Promise<Request>
  /** Releases it. @throws APPROVAL_UNKNOWN, APPROVAL_OWN, APPROVAL_GIVEN */
  release(accessor: string): Promise<void>
  /** Signs out. Never throws. */
  close(): Promise<void>
}

/**
 * Signs an approver in.
 *
 * @throws APPROVER_REFUSED  the name or the password is wrong; KEYSTORE_*
 */
export async function openApprover(transport: Transport, tenant: string, name: string, password: string): Promise<Approver> {
  checkNames({ tenant, device: name })
  const rounds = createRounds(transport.addresses)
  const loginPath = `auth/${userpassOf(tenant)}/login/${name}`
  const options = { timeout_ms: ROUND_REQUEST_MS }
  const { client_token: token, entity_id } = await rounds
    .run(async address => checked(Login, await openSession(transport, address, options).write(loginPath, { password }), loginPath).auth)
    .catch((error: unknown) => {
      throw isFault(error, 'KEYSTORE_REQUEST_INVALID', 'KEYSTORE_REFUSED') ? fault('APPROVER_REFUSED', { found: `${name} of tenant ${tenant}` }) : error
    })
  const ask = (path: string, accessor: string): Promise<unknown> =>
    rounds
      .run((address, attempt) =>
        openSession(transport, address, { ...options, token })
          .write(path, { accessor })
          .catch((error: unknown) => {
            // A release whose answer was lost was given.
            if (attempt > 1 && isFault(error, 'APPROVAL_GIVEN')) return { data: { approved: true } }
            throw error
          }),
      )
      .catch((error: unknown) => {
        throw isFault(error, 'KEYSTORE_REQUEST_INVALID', 'KEYSTORE_REFUSED', 'KEYSTORE_NOT_FOUND') ? fault('APPROVAL_UNKNOWN', { cause: error }) : error
      })
  const request = async (accessor: string): Promise<Request & { isOwn: boolean }> => {
    const { request_path, request_entity } = checked(Requested, await ask(REQUEST_PATH, accessor), REQUEST_PATH).data
    const asker = request_entity.aliases?.find(({ name }) => name.startsWith(personOf('')))?.name.slice(personOf('').length)
    return { path: request_path, asker, isOwn: (request_entity.ID ?? request_entity.id) === entity_id }
  }
  return {
    async look(accessor) {
      const { path, asker } = await request(accessor)
      return { path, asker }
    },
    async release(accessor) {
      // The keystore refuses that too, but does not say why.
      if ((await request(accessor)).isOwn) throw fault('APPROVAL_OWN')
      if (!checked(Released, await ask(RELEASE_PATH, accessor), RELEASE_PATH).data.approved) throw fault('APPROVAL_OWN')
    },
    async close() {
      await rounds.run(address => openSession(transport, address, { ...options, token }).write(END_PATH, {})).catch(() => {})
    },
  }
}
