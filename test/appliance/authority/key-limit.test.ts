// A flood of keys through an authority that is asked as devices ask it, against a real keystore: it is slowed, and somebody is told.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { openAudit } from '#authority/audit.ts'
import { initHome } from '#authority/home.ts'
import { KEY_FETCHES_MAX, KEY_REFUSALS_MAX, KEY_WINDOW_MS } from '#authority/key-limit.ts'
import { openAuthorityEscrow } from '#authority/keystore-parts.ts'
import { type DeviceRow, openState } from '#authority/state.ts'
import { grantFor } from '#authority/user-keys.ts'
import { createAnswerBox } from '#keystore-seal/answer-box.ts'
import { KEY_GRANT_TRIES_MAX } from '#protocol/limits.ts'
import { holdfast } from '../../agent/cli/holdfast.ts'
import { type Escrow, newEscrow, OTHER_TENANT, startProvisioned, TENANT } from '../../keystore/client/provisioned.ts'
import { freePort } from './site.ts'

const home = mkdtempSync(join(tmpdir(), 'holdfast-key-limit-'))
const site = await startProvisioned()
await initHome(home, { listen: '127.0.0.1', authority_port: await freePort(), storage_port: await freePort() }, JSON.stringify(site.connection), Date.now())
const escrow = await newEscrow(site)
await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
test.after.always(async () => {
  await site.close()
  rmSync(home, { recursive: true, force: true })
})

const clock = { offset_ms: 0 }
const now = (): number => Date.now() + clock.offset_ms
const auditFile = join(home, 'authority', 'audit.log')
const audited = (act: string): string[] =>
  readFileSync(auditFile, 'utf8')
    .split('\n')
    .filter(line => line.includes(`"act":"${act}"`))

/** The authority's keystore side on this home, as the authority opens it, and a device of a user in it. */
async function withKeys(act: (keys: { open(device: number): Promise<unknown> }) => Promise<void>, tenant = TENANT, held: Escrow = escrow) {
  const state = await openState(join(home, 'authority', 'state'))
  const audit = await openAudit(auditFile, now)
  const parts = await openAuthorityEscrow(home, state, audit, now, false)
  const devices = Array.from({ length: KEY_FETCHES_MAX / KEY_GRANT_TRIES_MAX + 1 }, (): DeviceRow => {
    const device = randomBytes(16).toString('hex')
    const rest = {
      hostname: '',
      platform: '',
      agent_version: '',
      thumbprints: [],
      paired_ms: 0,
      is_authorized: true,
      deauthorized_ms: null,
      head: null,
      head_ms: null,
    }
    return { device, user: `of-${tenant}`, tenant, archive: device, ...rest }
  })
  const { slot, kid, sealed, sealedKey } = held
  const row = {
    user: `of-${tenant}`,
    tenant,
    slot,
    kid,
    epoch: 1,
    sealed_w: sealed,
    sealed_key: sealedKey.toString('base64'),
    device: devices[0]?.device ?? '',
  }
  const grants = devices.map(({ device, user }) => grantFor(device, user, now()))
  await state.write([{ kind: 'escrow', id: row.user, row: { ...row, accepted_ms: 1, safe_ms: 2 } }, ...grants])
  const box = createAnswerBox()
  try {
    await act({ open: at => parts.keys.open(devices[at] as DeviceRow, box.publicKey) })
  } finally {
    box.wipe()
    await parts.close()
    await audit.close()
    await state.close()
  }
}

const command = (...words: string[]): ReturnType<typeof holdfast> => holdfast([...words, '--home', home], { launcher: 'holdfast-appliance' })

test.serial('over the limit no key is asked for, and that is recorded once', async t => {
  await withKeys(async ({ open }) => {
    for (let count = 0; count < KEY_FETCHES_MAX; count++) await open(Math.floor(count / KEY_GRANT_TRIES_MAX))
    const last = KEY_FETCHES_MAX / KEY_GRANT_TRIES_MAX
    for (let count = 0; count < 3; count++) await t.throwsAsync(open(last), { code: 'KEY_FETCHES_LIMITED' })
    t.is(audited('key.open').length, KEY_FETCHES_MAX)
    t.is(audited('alarm.raise').length, 1)
  })
})

test.serial('the alarm outlives the authority, and status shows it until somebody acknowledges it', async t => {
  const shown = await command('status')
  t.regex(shown.out, /^alarm: key-fetches in tenant acme since .*more than 200 in 10 minutes/m)
  const { keystore } = JSON.parse((await command('status', '--json')).out) as { keystore: { alarms: object[] } }
  t.like(keystore.alarms, [{ kind: 'key-fetches', tenant: TENANT }])
  t.regex((await command('alarm', 'acknowledge')).out, /^acknowledged: alarm: key-fetches/)
  t.notRegex((await command('status')).out, /^alarm:/m)
  t.is((await command('alarm', 'acknowledge')).out, 'There is no alarm.\n')
  t.is(audited('alarm.acknowledge').length, 1)
})

test.serial('devices that ask again and again for what they may not have are an alarm, and stop nobody else', async t => {
  await withKeys(async ({ open }) => {
    for (let count = 0; count < KEY_GRANT_TRIES_MAX; count++) await open(0)
    for (let count = 0; count <= KEY_REFUSALS_MAX; count++) await t.throwsAsync(open(0), { code: 'KEY_NOT_GRANTED' })
    await open(1)
  })
  t.is(audited('alarm.raise').length, 2)
  t.regex((await command('alarm', 'acknowledge')).out, /key-refusals in tenant acme/)
})

test.serial('when the window has passed, keys are given out again', async t => {
  await withKeys(async ({ open }) => {
    // So long ago that the keystore refuses the sign-ins: what was tried counts, whatever came of it.
    clock.offset_ms = -KEY_WINDOW_MS
    for (let count = 0; count < KEY_FETCHES_MAX; count++) await t.throwsAsync(open(0), { code: 'KEYSTORE_AWAY' })
    await t.throwsAsync(open(0), { code: 'KEY_FETCHES_LIMITED' })
    clock.offset_ms = 0
    await open(0)
  })
  await command('alarm', 'acknowledge')
})

test.serial("a keystore that takes no more of this appliance's fetches, though there were few, is an alarm", async t => {
  const other = await newEscrow(site, OTHER_TENANT)
  await site.keystore.escrow(OTHER_TENANT, other.slot, other.kid, other.sealed)
  const path = `tr-${OTHER_TENANT}/decrypt/*`
  // Somebody else has used up what is allowed.
  await site.admin.write(`sys/quotas/rate-limit/decrypt-${OTHER_TENANT}`, { path, rate: 1, interval: 600 })
  await site.keystore.openOwn(OTHER_TENANT, other.slot, other.kid, { jti: randomBytes(16).toString('hex'), device: 'x' })
  await withKeys(
    async ({ open }) => {
      const error = await t.throwsAsync(open(0))
      t.regex(error.message, /^KEYSTORE_AWAY: .*KEYSTORE_BUSY: /)
    },
    OTHER_TENANT,
    other,
  )
  t.regex((await command('status')).out, /^alarm: keystore-limit in tenant globex/m)
})
