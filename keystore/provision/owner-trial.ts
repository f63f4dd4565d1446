// What the owner of one slot can do with a sign-in, and what not.
import { randomBytes } from 'node:crypto'
import sodium from 'sodium-native'
import { jwtOf, kvOf, transitOf } from '#keystore-client/names.ts'
import { signJwt } from '#keystore-client/sign-in.ts'
import { isFault } from '#protocol/fault.ts'
import { looseQuotas, QUOTAS_PATH } from './quotas.ts'
import { roleOf } from './tenant.ts'
import { type Attempt, attempt, note, scratchName, send, type Trial, tokenFor } from './trial.ts'

const FLOOD = 3

/** Rows of the owner's role. */
export async function tryOwner(trial: Trial): Promise<void> {
  const { tenant, stranger, mine, others, keystore } = trial
  const [kv, transit] = [kvOf(tenant), transitOf(tenant)]
  const owner = (): Promise<string> => tokenFor(trial, 'owner', mine.slot)
  const refused = async (what: string, path: string, body?: object, method?: 'GET' | 'LIST'): Promise<void> =>
    attempt(trial, what, 403, { token: await owner(), method, path, body })

  const { opened } = await keystore.openOwn(tenant, mine.slot, mine.kid, { jti: randomBytes(16).toString('hex'), device: 'self-test' })
  note(trial, 'an owner opens the own escrow', 'opened', opened.equals(mine.secret) ? 'opened' : 'something else')
  sodium.sodium_memzero(opened)
  sodium.sodium_free(opened)

  const token = await owner()
  const read = { token, method: 'GET', path: `${kv}/data/${mine.slot}/${mine.kid}` } as const
  const uses = [await send(trial, read), await send(trial, read), await send(trial, read)]
  note(trial, 'a third use of one sign-in', '200 200 403', uses.map(({ status }) => status).join(' '))

  await refused("another's escrow", `${kv}/data/${others.slot}/${others.kid}`, undefined, 'GET')
  await refused("opening with another's slot", `${transit}/decrypt/${others.slot}`, { ciphertext: others.sealed })
  await refused('many at once (batch)', `${transit}/decrypt/${mine.slot}`, { batch_input: [{ ciphertext: mine.sealed }] })
  await refused('many at once, beside one', `${transit}/decrypt/${mine.slot}`, { ciphertext: mine.sealed, batch_input: [{ ciphertext: others.sealed }] })
  await refused('a list of slots', `${kv}/metadata`, undefined, 'LIST')
  await refused('a list of the own slot', `${kv}/metadata/${mine.slot}`, undefined, 'LIST')
  await refused('a list of keys', `${transit}/keys`, undefined, 'LIST')
  await refused("export of the slot's key", `${transit}/export/encryption-key/${mine.slot}`, undefined, 'GET')
  await refused("making the slot's key exportable", `${transit}/keys/${mine.slot}/config`, { exportable: true })
  await refused("another tenant's escrow", `${kvOf(stranger)}/data/${mine.slot}/${mine.kid}`, undefined, 'GET')
  await refused("another tenant's slot", `${transitOf(stranger)}/decrypt/${mine.slot}`, { ciphertext: mine.sealed })
  await refused('making further tokens', 'auth/token/create', {})

  const crossed = await send(trial, { token: await owner(), path: `${transit}/decrypt/${mine.slot}`, body: { ciphertext: others.sealed } })
  note(trial, "another's escrow with the own slot's key", 'does not open', crossed.status >= 400 ? 'does not open' : `${crossed.status}`)
  note(trial, 'a name with .. in it', 'not sent', await sentOrNot(trial, `../${others.slot}`))
  await flood(trial)
}

async function sentOrNot({ keystore, tenant, mine }: Trial, slot: string): Promise<string> {
  try {
    await keystore.openOwn(tenant, slot, mine.kid, { jti: 'self-test', device: 'self-test' })
    return 'sent'
  } catch (error) {
    return isFault(error, 'KEYSTORE_NAME_INVALID') ? 'not sent' : 'sent'
  }
}

/** In quotas of its own, so that nobody has to wait for it. */
async function flood(trial: Trial): Promise<void> {
  const { admin, tenant, mine, token, signer } = trial
  const loose = await looseQuotas(admin, tenant)
  note(trial, 'every limit of fetches and sign-ins is as it was set', 'all', loose.length === 0 ? 'all' : `not ${loose.join(', ')}`)
  const tryLimit = async (what: string, limited: object, ask: () => Promise<Attempt>): Promise<void> => {
    const quota = `${QUOTAS_PATH}/${scratchName()}`
    await admin.write(quota, { ...limited, rate: FLOOD, interval: 60 })
    try {
      const statuses: number[] = []
      for (let i = 0; i <= FLOOD; i++) statuses.push((await send(trial, await ask())).status)
      note(trial, `a flood of ${what}, where ${FLOOD} a minute are allowed`, '200 200 200 429', statuses.join(' '))
    } finally {
      await admin.remove(quota)
    }
  }
  const path = `${transitOf(tenant)}/decrypt/${mine.slot}`
  await tryLimit('fetches', { path }, async () => ({ token, path, body: { ciphertext: mine.sealed } }))

  const role = scratchName()
  const mount = `auth/${jwtOf(tenant)}`
  trial.undo.push(() => admin.remove(`${mount}/role/${role}`))
  await admin.write(`${mount}/role/${role}`, roleOf({}, tenant, 'owner'))
  const jwt = (): Promise<string> => signJwt(signer, { tenant, role: 'owner', sub: mine.slot, jti: randomBytes(16).toString('hex'), device: 'self-test' })
  await tryLimit('sign-ins', { path: `${mount}/`, role }, async () => ({ path: `${mount}/login`, body: { role, jwt: await jwt() } }))
}
