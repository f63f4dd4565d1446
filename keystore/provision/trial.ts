// What each part of the self-test works with: a scratch of its own in a real tenant, and rows of what was tried. Invariants:
//   only what was made for the trial is read, opened or attacked, never a user's;
//   all of it is taken away again, whatever happens.
import { constants, publicEncrypt, randomBytes } from 'node:crypto'
import type { Connection } from '#keystore-client/connection.ts'
import { createKeystore, type Keystore } from '#keystore-client/keystore.ts'
import { jwtOf, kvOf, transitOf } from '#keystore-client/names.ts'
import { type AdminSession, openAdminSession } from '#keystore-client/session.ts'
import { createSigner, type Role, type Signer, signIn } from '#keystore-client/sign-in.ts'
import type { Answered, Method, Transport } from '#keystore-client/transport.ts'
import { isFault } from '#protocol/fault.ts'
import { entityOf } from './approvers.ts'
import { mounted } from './tenant.ts'

const OPENED_BYTES = 64
const REQUEST_MS = 10_000

/** One thing that was tried. */
export type Row = { readonly what: string; readonly expected: string; readonly found: string; readonly ok: boolean }

/** A slot with an escrow, made for the trial. */
export type Scratch = { readonly slot: string; readonly kid: string; readonly sealed: string; readonly secret: Buffer }

export type Trial = {
  readonly connection: Connection
  readonly tenant: string
  /** Another tenant: one that is there if the connection has two. */
  readonly stranger: string
  readonly transport: Transport
  readonly address: string
  readonly admin: AdminSession
  readonly token: string
  readonly keystore: Keystore
  readonly signer: Signer
  readonly mine: Scratch
  readonly others: Scratch
  readonly rows: Row[]
  /** Done at the end, the last first. */
  readonly undo: (() => Promise<unknown>)[]
}

export type Attempt = { readonly token?: string | undefined; readonly method?: Method | undefined; readonly path: string; readonly body?: object | undefined }

/** Adds a row. */
export function note({ rows }: Pick<Trial, 'rows'>, what: string, expected: string, found: string): void {
  rows.push({ what, expected, found, ok: expected === found })
}

/** Tries something, and adds a row with the status that it got. */
export async function attempt(trial: Trial, what: string, expected: number, tried: Attempt): Promise<void> {
  note(trial, what, `${expected}`, `${(await send(trial, tried)).status}`)
}

/** Sends anything; an answer with a secret is wiped, only its status matters. */
export async function send({ transport, address }: Trial, { token, method = 'POST', path, body }: Attempt): Promise<Answered> {
  return transport.send({ address, method, path, token, body, act: 'self-test', timeout_ms: REQUEST_MS })
}

/** Signs in as the appliance does. */
export async function tokenFor(trial: Trial, role: Role, sub: string): Promise<string> {
  const jti = randomBytes(16).toString('hex')
  const claims = { tenant: trial.tenant, role, sub, jti, device: 'self-test' }
  return (await signIn(trial.transport, trial.address, trial.signer, claims, { act: 'self-test', timeout_ms: REQUEST_MS })).token
}

/** A name that nobody has. */
export const scratchName = (): string => `self-test-${randomBytes(6).toString('hex')}`

/** Makes the scratch, does the parts, and takes it away again. */
export async function withTrial(
  { connection, tenant, transport, address, token }: Pick<Trial, 'connection' | 'tenant' | 'transport' | 'address' | 'token'>,
  parts: Readonly<Record<string, (trial: Trial) => Promise<void>>>,
): Promise<readonly Row[]> {
  const admin = openAdminSession(transport, address, { token, act: 'self-test' })
  const keystore = createKeystore(connection)
  const undo: (() => Promise<unknown>)[] = []
  const rows: Row[] = []
  try {
    const [mine, others] = [await makeScratch(keystore, admin, tenant, undo), await makeScratch(keystore, admin, tenant, undo)]
    const stranger = Object.keys(connection.tenants).find(name => name !== tenant) ?? 'somebody-else'
    const signer = createSigner(connection, Date.now)
    const trial = { connection, tenant, stranger, transport, address, admin, token, keystore, signer, mine, others, rows, undo }
    for (const [name, part] of Object.entries(parts)) {
      await part(trial).catch((error: unknown) => {
        // A sign-in with a second policy ends its part: nothing of it is used, and it is a row like any other.
        if (!isFault(error)) throw error
        note(trial, `${name}: all of it could be tried`, 'yes', `${error.code}, ${error.found ?? ''}`)
      })
    }
  } finally {
    const kept: string[] = []
    for (const act of undo.toReversed()) await act().catch((error: unknown) => kept.push(error instanceof Error ? error.message : 'an error'))
    note({ rows }, 'what the self-test made is gone again', 'all of it', kept.length === 0 ? 'all of it' : kept.join('; '))
    keystore.close()
  }
  return rows
}

async function makeScratch(keystore: Keystore, admin: AdminSession, tenant: string, undo: Trial['undo']): Promise<Scratch> {
  const [slot, kid] = [`s-${randomBytes(16).toString('hex')}`, `1-${randomBytes(16).toString('hex')}`]
  const key = `${transitOf(tenant)}/keys/${slot}`
  undo.push(async () => {
    await admin.write(`${key}/config`, { deletion_allowed: true })
    await admin.remove(key)
  })
  const { public_key } = await keystore.makeSlot(tenant, slot)
  const secret = randomBytes(OPENED_BYTES)
  const bytes = publicEncrypt({ key: public_key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, secret)
  const sealed = `vault:v1:${bytes.toString('base64')}`
  undo.push(() => admin.remove(`${kvOf(tenant)}/metadata/${slot}/${kid}`))
  await keystore.escrow(tenant, slot, kid, sealed)
  undo.push(() => removeEntity(admin, tenant, slot))
  return { slot, kid, sealed, secret }
}

/** The keystore remembers everybody who ever signed in. */
export async function removeEntity(admin: AdminSession, tenant: string, sub: string): Promise<void> {
  const { accessor } = await mounted(admin, 'sys/auth', jwtOf(tenant))
  const id = await entityOf(admin, { name: sub, mount_accessor: accessor })
  if (id !== undefined) await admin.remove(`identity/entity/id/${id}`)
}
