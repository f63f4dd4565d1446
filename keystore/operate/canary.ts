// The canary: a slot of nobody's, with a key that was sealed to it as any user's is. Whoever brings a snapshot back opens it,
// and knows that the seal, the transit keys and the entries all came back and still fit one another. It is in mounts of its
// own, and its token opens it and nothing else, so its file may lie with the snapshots' identity.
import { createHash, createPublicKey, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import sodium from 'sodium-native'
import { checked } from '#keystore-client/answers.ts'
import { kvOf, SEALED_PATTERN, transitOf } from '#keystore-client/names.ts'
import { takeOpened } from '#keystore-client/opened-answer.ts'
import { type AdminSession, openSession } from '#keystore-client/session.ts'
import { SLOT_KEY_TYPE } from '#keystore-client/slots.ts'
import type { Transport } from '#keystore-client/transport.ts'
import { mounted } from '#keystore-provision/tenant.ts'
import { readData } from '#keystore-provision/wanted.ts'
import { openUserKey, sealUserKey } from '#keystore-seal/sealed-key.ts'
import { OPENED_BYTES } from '#keystore-seal/sealed-key-head.ts'
import { isFault } from '#protocol/fault.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

/** No tenant may be called so. */
export const CANARY_TENANT = 'canary'
const POLICY = 'duty-canary'
/** It must still be good when an old snapshot is brought back. */
const PERIOD = '87600h'
const RING_BYTES = 36
const EPOCH = 1
const KV_READY_MS = 5_000

const Canary = Type.Object({
  version: Type.Literal(1),
  slot: Type.String({ pattern: '^s-[0-9a-f]{32}$' }),
  kid: Type.String({ pattern: '^1-[0-9a-f]{32}$' }),
  sealed_key: Type.String({ maxLength: 4_096 }),
  /** Of the key that it must open to. */
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  token: Type.String({ minLength: 8, maxLength: 1_000 }),
})
export type Canary = Static<typeof Canary>

const PublicKey = Type.Object({ data: Type.Object({ keys: Type.Object({ 1: Type.Object({ public_key: Type.String({ maxLength: 4_096 }) }) }) }) })
const Made = Type.Object({ auth: Type.Object({ client_token: Type.String({ minLength: 8, maxLength: 1_000 }) }) })
const Stored = Type.Object({ data: Type.Object({ data: Type.Object({ sealed: Type.String({ pattern: SEALED_PATTERN }) }) }) })

/** Makes a canary. @param admin with a root token */
export async function makeCanary(admin: AdminSession): Promise<Canary> {
  const [kv, transit] = [kvOf(CANARY_TENANT), transitOf(CANARY_TENANT)]
  await mount(admin, kv, { type: 'kv', options: { version: '2' } })
  await mount(admin, transit, { type: 'transit' })
  const slot = `s-${randomBytes(16).toString('hex')}`
  const keyPath = `${transit}/keys/${slot}`
  const { public_key } = checked(PublicKey, await admin.write(keyPath, { type: SLOT_KEY_TYPE }), keyPath).data.keys[1]
  const ring = randomBytes(RING_BYTES)
  const { sealed_key, sealed_w, kid } = sealUserKey(ring, { tenant: CANARY_TENANT, slot, epoch: EPOCH }, createPublicKey(public_key))
  const sha256 = createHash('sha256').update(ring).digest('hex')
  ring.fill(0)
  await writeWhenReady(admin, `${kv}/data/${slot}/${kid}`, { options: { cas: 0 }, data: { sealed: sealed_w } })
  const policy = `path "${kv}/data/+/+" {\n  capabilities = ["read"]\n}\npath "${transit}/decrypt/+" {\n  capabilities = ["update"]\n}\n`
  await admin.write(`sys/policies/acl/${POLICY}`, { policy })
  const path = 'auth/token/create-orphan'
  const token = checked(Made, await admin.write(path, { policies: [POLICY], no_default_policy: true, period: PERIOD, display_name: POLICY }), path).auth
    .client_token
  return { version: 1, slot, kid, sealed_key: sealed_key.toString('base64'), sha256, token }
}

/** @throws CANARY_INVALID */
export function readCanary(file: string): Canary {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch {}
  if (!Check(Canary, value)) throw fault('CANARY_INVALID', { found: file })
  return value
}

/**
 * Opens the canary, all the way to the key.
 *
 * @throws CANARY_DEAD  it is not there, or does not open to its key
 * @throws KEYSTORE_*
 */
export async function openCanary(transport: Transport, address: string, { slot, kid, sealed_key, sha256, token }: Canary): Promise<void> {
  const session = openSession(transport, address, { token, act: POLICY })
  const [kvPath, openPath] = [`${kvOf(CANARY_TENANT)}/data/${slot}/${kid}`, `${transitOf(CANARY_TENANT)}/decrypt/${slot}`]
  try {
    const stored = checked(Stored, await session.read(kvPath), kvPath)
    const { opened } = takeOpened(await session.writeForBytes(openPath, { ciphertext: stored.data.data.sealed }), OPENED_BYTES, openPath)
    try {
      const ring = openUserKey(Buffer.from(sealed_key, 'base64'), opened, { tenant: CANARY_TENANT, slot, epoch: EPOCH })
      const found = createHash('sha256').update(ring).digest()
      sodium.sodium_memzero(ring)
      if (!timingSafeEqual(found, Buffer.from(sha256, 'hex'))) throw fault('CANARY_DEAD', { found: 'another key' })
    } finally {
      sodium.sodium_memzero(opened)
      sodium.sodium_free(opened)
    }
  } catch (error) {
    if (
      isFault(
        error,
        'KEYSTORE_NOT_FOUND',
        'KEYSTORE_REFUSED',
        'KEYSTORE_REQUEST_INVALID',
        'ESCROW_UNREADABLE',
        'SEALED_KEY_DOES_NOT_OPEN',
        'SEALED_KEY_INVALID',
      )
    )
      throw fault('CANARY_DEAD', { found: error.code, cause: error })
    throw error
  }
}

async function mount(admin: AdminSession, name: string, wanted: object): Promise<void> {
  if ((await readData(admin, 'sys/mounts'))?.[`${name}/`] === undefined) await admin.write(`sys/mounts/${name}`, wanted)
  await mounted(admin, 'sys/mounts', name)
}

/** A KV mount that was just made says 400 for a moment. */
async function writeWhenReady(admin: AdminSession, path: string, body: object): Promise<void> {
  for (const end_ms = performance.now() + KV_READY_MS; ; await pause(50)) {
    try {
      return void (await admin.write(path, body))
    } catch (error) {
      if (!isFault(error, 'KEYSTORE_REQUEST_INVALID') || performance.now() > end_ms) throw error
    }
  }
}
