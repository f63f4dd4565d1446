// A restore for somebody else: nothing opens before another person has agreed to that one request.
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { checked } from '#keystore-client/answers.ts'
import { jwtOf, kvOf, personOf, transitOf, userpassOf } from '#keystore-client/names.ts'
import { signJwt } from '#keystore-client/sign-in.ts'
import { Type } from '#protocol/typebox.js'
import { addApprover, removeApprover } from './approvers.ts'
import { liftingGuards } from './guards.ts'
import { restorePolicy } from './policies.ts'
import { roleOf } from './tenant.ts'
import { attempt, note, removeEntity, type Scratch, scratchName, send, type Trial, tokenFor } from './trial.ts'

const LIMIT_S = 2
const LATE_MS = 20_000
const AGAIN_MS = 200

const Login = Type.Object({ auth: Type.Object({ client_token: Type.String() }) })
const Wrapped = Type.Object({ data: Type.Null(), wrap_info: Type.Object({ token: Type.String(), accessor: Type.String() }) })
const Released = Type.Object({ data: Type.Object({ approved: Type.Boolean() }) })
type Asked = { readonly token: string; readonly accessor: string }

/** Rows of the restore's role. */
export async function tryRestore(trial: Trial): Promise<void> {
  const { tenant, stranger, mine, others } = trial
  const found = await liftingGuards(trial.admin, tenant)
  note(trial, 'nothing lifts the guard of restores', 'nothing', found.length === 0 ? 'nothing' : found.join('; '))
  const [asker, approver] = [await makePerson(trial), await makePerson(trial)]
  const token = await tokenFor(trial, 'restore', personOf(asker.name))
  const first = await ask(trial, token, mine)
  note(trial, 'a restore without approval', '400', await fetch(trial, token, first))
  note(trial, "a restore with the asker's own approval", 'not released', await release(trial, asker.token, first))
  note(trial, "a restore with the asker's own approval, fetched", '400', await fetch(trial, token, first))
  const second = await ask(trial, token, others)
  note(trial, 'an approval by another person, for another slot', 'released', await release(trial, approver.token, second))
  note(trial, 'a restore with an approval for another slot', '400', await fetch(trial, token, first))
  note(trial, 'a restore with its approval', 'released 200', `${await release(trial, approver.token, first)} ${await fetch(trial, token, first)}`)
  note(trial, 'the same again before the restore has ended, by whoever has its ticket: given, so it ends at once', '200', await fetchBearing(trial, first))

  await attempt(trial, 'a restore of many at once (batch)', 403, {
    token,
    path: `${transitOf(tenant)}/decrypt/${mine.slot}`,
    body: { batch_input: [{ ciphertext: mine.sealed }] },
  })
  await attempt(trial, 'a restore lists slots', 403, { token, method: 'LIST', path: `${kvOf(tenant)}/metadata` })
  await attempt(trial, "a restore reads another tenant's escrow", 403, { token, method: 'GET', path: `${kvOf(stranger)}/data/${mine.slot}/${mine.kid}` })
  await attempt(trial, "a restore opens with another tenant's slot", 403, {
    token,
    path: `${transitOf(stranger)}/decrypt/${mine.slot}`,
    body: { ciphertext: mine.sealed },
  })
  await attempt(trial, 'an approver reads an escrow', 403, { token: approver.token, method: 'GET', path: `${kvOf(tenant)}/data/${mine.slot}/${mine.kid}` })
  await attempt(trial, 'an approver opens an escrow', 403, {
    token: approver.token,
    path: `${transitOf(tenant)}/decrypt/${mine.slot}`,
    body: { ciphertext: mine.sealed },
  })

  await attempt(trial, 'a restore ends itself', 204, { token, path: 'auth/token/revoke-self' })
  note(trial, 'a restore that has ended, a second time', '403', await fetch(trial, token, first))
  note(trial, 'a restore that has ended, by whoever has its ticket', '403', await fetchBearing(trial, first))
  note(trial, 'a restore after the time limit', 'refused', await fetchLate(trial, asker.name, approver.token))
}

/** Somebody who may approve, signed in. */
async function makePerson(trial: Trial): Promise<{ name: string; token: string }> {
  const { admin, tenant, undo } = trial
  const [name, password] = [scratchName(), randomBytes(24).toString('base64url')]
  undo.push(() => removeEntity(admin, tenant, personOf(name)))
  undo.push(() => removeApprover(admin, tenant, name))
  await addApprover(admin, tenant, name, password)
  const path = `auth/${userpassOf(tenant)}/login/${name}`
  return { name, token: checked(Login, (await send(trial, { path, body: { password } })).body, path).auth.client_token }
}

/** Asks to open: nothing is opened yet. */
async function ask(trial: Trial, token: string, { slot, sealed }: Scratch): Promise<Asked> {
  const path = `${transitOf(trial.tenant)}/decrypt/${slot}`
  return checked(Wrapped, (await send(trial, { token, path, body: { ciphertext: sealed } })).body, path).wrap_info
}

async function release(trial: Trial, token: string, { accessor }: Asked): Promise<string> {
  const { status, body } = await send(trial, { token, path: 'sys/control-group/authorize', body: { accessor } })
  return status === 200 && checked(Released, body, 'sys/control-group/authorize').data.approved ? 'released' : 'not released'
}

const UNWRAP = 'sys/wrapping/unwrap'
const fetch = async (trial: Trial, token: string, asked: Asked): Promise<string> =>
  `${(await send(trial, { token, path: UNWRAP, body: { token: asked.token } })).status}`
/** With nothing but the ticket that stands for what was asked. */
const fetchBearing = async (trial: Trial, asked: Asked): Promise<string> => `${(await send(trial, { token: asked.token, path: UNWRAP, body: {} })).status}`

/** In a role of its own with a short limit: waits until what was approved can no longer be fetched. */
async function fetchLate(trial: Trial, asker: string, approver: string): Promise<string> {
  const { admin, tenant, signer, mine, undo } = trial
  const name = scratchName()
  const role = `auth/${jwtOf(tenant)}/role/${name}`
  undo.push(() => admin.remove(`sys/policies/acl/${name}`))
  undo.push(() => admin.remove(role))
  await admin.write(`sys/policies/acl/${name}`, { policy: restorePolicy(tenant, LIMIT_S) })
  await admin.write(role, { ...roleOf({}, tenant, 'restore'), token_policies: [name] })
  const jwt = await signJwt(signer, { tenant, role: 'restore', sub: personOf(asker), jti: randomBytes(16).toString('hex'), device: 'self-test' })
  const path = `auth/${jwtOf(tenant)}/login`
  const { client_token } = checked(Login, (await send(trial, { path, body: { role: name, jwt } })).body, path).auth
  const asked = await ask(trial, client_token, mine)
  if ((await release(trial, approver, asked)) !== 'released') return 'not released'
  for (const end_ms = performance.now() + LATE_MS; performance.now() < end_ms; await pause(AGAIN_MS))
    if ((await fetch(trial, client_token, asked)) !== '200') return 'refused'
  return 'still given out'
}
