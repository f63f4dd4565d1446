// The authority's half against a real node: handing over, making slots, bringing back.
import test from 'ava'
import { createKeystore } from '#keystore-client/keystore.ts'
import { kvOf, REQUEST_HEADER, transitOf } from '#keystore-client/names.ts'
import { openSession } from '#keystore-client/session.ts'
import { roleOf } from '#keystore-provision/tenant.ts'
import { checkSlot } from '#keystore-seal/slot.ts'
import { auditedLines } from './audit.ts'
import { newEscrow, newFacts, newSlot, OTHER_TENANT, opensKey, sealTo, startProvisioned, TENANT } from './provisioned.ts'

const site = await startProvisioned()
test.after.always(() => site.close())
const { keystore, connection, admin, cluster } = site

test('what was handed over comes back to its owner, and opens the user key', async t => {
  const escrow = await newEscrow(site)
  t.is(await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed), 'stored')
  const { opened, request_ids } = await keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())
  t.is(opened.length, 64)
  t.true(opensKey(opened, escrow))
  t.is(new Set(request_ids).size, 3)
})

test('handing over again changes nothing and says so, in another process too', async t => {
  const escrow = await newEscrow(site)
  t.is(await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed), 'stored')
  t.is(await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed), 'there')
  const other = createKeystore(connection)
  t.is(await other.escrow(TENANT, escrow.slot, escrow.kid, sealTo(escrow.slot, (await keystore.makeSlot(TENANT, escrow.slot)).public_key).sealed), 'there')
  other.close()
  t.true(opensKey((await keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow))
})

test('of a hundred that hand the same over at once, one stores it and all know that it is there', async t => {
  const escrow = await newEscrow(site)
  const ends = await Promise.all(Array.from({ length: 100 }, () => keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)))
  t.is(ends.filter(end => end === 'stored').length, 1)
  t.is(ends.filter(end => end === 'there').length, 99)
})

test('an escrow is said to be there exactly when it can be fetched', async t => {
  const escrow = await newEscrow(site)
  t.false(await keystore.isEscrowed(TENANT, escrow.slot, escrow.kid))
  await t.throwsAsync(keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'ESCROW_MISSING' })
  await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  t.true(await keystore.isEscrowed(TENANT, escrow.slot, escrow.kid))
  await admin.remove(`${kvOf(TENANT)}/data/${escrow.slot}/${escrow.kid}`)
  t.false(await keystore.isEscrowed(TENANT, escrow.slot, escrow.kid))
  await t.throwsAsync(keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'ESCROW_MISSING' })
})

test('a slot that is there is found as it is, and is signed by the identity of its tenant', async t => {
  const slot = newSlot()
  const [made, found] = [await keystore.makeSlot(TENANT, slot), await keystore.makeSlot(TENANT, slot)]
  t.deepEqual(made, found)
  const identity = Buffer.from(connection.tenants[TENANT]?.identity ?? '', 'base64')
  t.notThrows(() => checkSlot({ tenant: TENANT, slot, ...made }, identity))
  t.throws(() => checkSlot({ tenant: OTHER_TENANT, slot, ...made }, identity), { code: 'SLOT_FORGED' })
})

test('a slot that another identity signed is not handed out', async t => {
  const tenants = { ...connection.tenants, [TENANT]: connection.tenants[OTHER_TENANT] ?? { identity: '' } }
  const deceived = createKeystore({ ...connection, tenants })
  await t.throwsAsync(deceived.makeSlot(TENANT, newSlot()), { code: 'SLOT_UNTRUSTED' })
  deceived.close()
})

test('what was sealed to another slot, or altered, does not open and is said to be damaged at once', async t => {
  const [mine, others] = [await newEscrow(site), await newEscrow(site)]
  await keystore.escrow(TENANT, mine.slot, mine.kid, others.sealed)
  await t.throwsAsync(keystore.openOwn(TENANT, mine.slot, mine.kid, newFacts()), { code: 'ESCROW_UNREADABLE' })
  const altered = others.sealed.replace(/^(vault:v1:)(.)/, (_, head: string, digit: string) => `${head}${digit === 'A' ? 'B' : 'A'}`)
  await keystore.escrow(TENANT, others.slot, others.kid, altered)
  await t.throwsAsync(keystore.openOwn(TENANT, others.slot, others.kid, newFacts()), { code: 'ESCROW_UNREADABLE' })
})

for (const [what, names] of Object.entries({
  'a slot that leads elsewhere': { slot: '../s-00000000000000000000000000000000' },
  'a slot that is a wildcard': { slot: '+' },
  'a slot with an encoded slash': { slot: 's-%2f0000000000000000000000000000000' },
  'a slot with another alphabet': { slot: `s-${'A'.repeat(32)}` },
  'a tenant that leads elsewhere': { tenant: 'acme/../globex' },
  'a tenant in capitals': { tenant: 'ACME' },
  'a kid without an epoch': { kid: 'f'.repeat(32) },
  'a kid that leads elsewhere': { kid: `1-${'0'.repeat(32)}/../x` },
}))
  test(`${what} is refused before anything is sent`, async t => {
    const { tenant, slot, kid } = { tenant: TENANT, slot: newSlot(), kid: `1-${'0'.repeat(32)}`, ...names }
    const sealed = `vault:v1:${'A'.repeat(512)}`
    const before = auditedLines(cluster).length
    await t.throwsAsync(keystore.escrow(tenant, slot, kid, sealed), { code: 'KEYSTORE_NAME_INVALID' })
    await t.throwsAsync(keystore.isEscrowed(tenant, slot, kid), { code: 'KEYSTORE_NAME_INVALID' })
    await t.throwsAsync(keystore.openOwn(tenant, slot, kid, newFacts()), { code: 'KEYSTORE_NAME_INVALID' })
    if (!('kid' in names)) await t.throwsAsync(keystore.makeSlot(tenant, slot), { code: 'KEYSTORE_NAME_INVALID' })
    const after = auditedLines(cluster).slice(before)
    t.false(after.some(line => line.includes(slot)))
  })

test('an appliance whose clock is an hour or a day wrong is refused by name, with both clocks, and nothing else is', async t => {
  const escrow = await newEscrow(site)
  await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  for (const hours of [-24, -1, 1, 24]) {
    const wrong = createKeystore(connection, { now: () => Date.now() + hours * 3_600_000 })
    const error = await t.throwsAsync(wrong.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'KEYSTORE_CLOCK_WRONG' })
    t.regex(error.message, /the keystore's clock says 20\d\d-.*, the appliance's 20\d\d-/)
    wrong.close()
  }
  const unknown = createKeystore({ ...connection, issuer: 'somebody' })
  await t.throwsAsync(unknown.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'KEYSTORE_REFUSED' })
  unknown.close()
})

test('a tenant that is not in the connection file, or was never provisioned, is refused', async t => {
  await t.throwsAsync(keystore.makeSlot('nobody', newSlot()), { code: 'KEYSTORE_NOT_FOUND' })
  await t.throwsAsync(keystore.escrow('nobody', newSlot(), `1-${'0'.repeat(32)}`, `vault:v1:${'A'.repeat(512)}`), { code: 'KEYSTORE_REFUSED' })
})

test.serial('an outbox whose token was revoked signs in anew and goes on', async t => {
  const [first, second] = [await newEscrow(site), await newEscrow(site)]
  await keystore.escrow(TENANT, first.slot, first.kid, first.sealed)
  await admin.write(`sys/leases/revoke-prefix/auth/jwt-${TENANT}/login`, {})
  t.is(await keystore.escrow(TENANT, second.slot, second.kid, second.sealed), 'stored')
  await admin.write(`sys/leases/revoke-prefix/auth/jwt-${TENANT}/login`, {})
  t.is(await keystore.escrow(TENANT, second.slot, second.kid, second.sealed), 'there')
})

test.serial('a sign-in that carries a second policy is not used', async t => {
  const escrow = await newEscrow(site, OTHER_TENANT)
  await keystore.escrow(OTHER_TENANT, escrow.slot, escrow.kid, escrow.sealed)
  const role = `auth/jwt-${OTHER_TENANT}/role/owner`
  const wanted = roleOf({}, OTHER_TENANT, 'owner')
  await admin.write(role, { ...wanted, token_policies: [`owner-${OTHER_TENANT}`, 'operator'] })
  await t.throwsAsync(keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'KEYSTORE_POLICY_WRONG' })
  await admin.write(role, wanted)
  t.true(opensKey((await keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow, OTHER_TENANT))
})

test('the audit log names the act, the device and each request of a fetch, and neither token nor what was opened', async t => {
  const escrow = await newEscrow(site)
  await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  const facts = newFacts()
  const { opened, request_ids } = await keystore.openOwn(TENANT, escrow.slot, escrow.kid, facts)
  const lines = auditedLines(cluster)
  for (const id of request_ids) t.is(lines.filter(line => line.includes(id)).length, 2 * 2, 'request and response, in both files')
  const decrypt = lines.filter(line => line.includes(request_ids[2] ?? ''))
  for (const line of decrypt) {
    const { request, auth } = JSON.parse(line) as { request: { path: string; headers: Record<string, string[]> }; auth: { metadata: Record<string, string> } }
    t.is(request.path, `${transitOf(TENANT)}/decrypt/${escrow.slot}`)
    t.deepEqual(request.headers[REQUEST_HEADER], [facts.jti])
    t.is(auth.metadata['jti'], `${facts.jti}-1`)
    t.is(auth.metadata['device'], facts.device)
  }
  const all = lines.join('\n')
  for (const secret of [opened.toString('base64'), opened.subarray(0, 32).toString('base64').slice(0, 40), escrow.sealed.slice(9)])
    t.false(all.includes(secret))
})

test('over the limit of fetches the keystore says that it is busy, and nothing is used up', async t => {
  const escrow = await newEscrow(site, OTHER_TENANT)
  await keystore.escrow(OTHER_TENANT, escrow.slot, escrow.kid, escrow.sealed)
  const quota = 'sys/quotas/rate-limit/for-a-test'
  await admin.write(quota, { path: `${transitOf(OTHER_TENANT)}/decrypt/${escrow.slot}`, rate: 2, interval: 600 })
  for (let i = 0; i < 2; i++) t.true(opensKey((await keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow, OTHER_TENANT))
  await t.throwsAsync(keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'KEYSTORE_BUSY' })
  await admin.remove(quota)
  t.true(opensKey((await keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow, OTHER_TENANT))
})

// By itself: meanwhile nobody of that tenant signs in.
test.serial('over the limit of sign-ins nobody signs in to open a key, while escrows go on', async t => {
  const escrow = await newEscrow(site, OTHER_TENANT)
  const quota = `sys/quotas/rate-limit/sign-in-owner-${OTHER_TENANT}`
  const { data } = (await admin.read(quota)) as { data: { rate: number } }
  const limit = (rate: number): Promise<unknown> => admin.write(quota, { path: `auth/jwt-${OTHER_TENANT}/`, role: 'owner', rate, interval: 60 })
  await limit(1)
  await t.throwsAsync(keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'ESCROW_MISSING' })
  await t.throwsAsync(keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'KEYSTORE_BUSY' })
  t.is(await keystore.escrow(OTHER_TENANT, escrow.slot, escrow.kid, escrow.sealed), 'stored')
  await limit(data.rate)
  t.true(opensKey((await keystore.openOwn(OTHER_TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow, OTHER_TENANT))
})

test('a token of one tenant sees nothing of another', async t => {
  const escrow = await newEscrow(site, OTHER_TENANT)
  await keystore.escrow(OTHER_TENANT, escrow.slot, escrow.kid, escrow.sealed)
  await t.throwsAsync(keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'ESCROW_MISSING' })
  t.false(await keystore.isEscrowed(TENANT, escrow.slot, escrow.kid))
})

test('the state of a node that is well is active', async t => {
  t.deepEqual(await keystore.state(), [{ address: connection.addresses[0] ?? '', state: 'active' }])
})

test('a session without a token is refused, and the refusal says where and nothing more', async t => {
  const session = openSession(site.transport, connection.addresses[0] ?? '', { token: 's.a-token-that-nobody-has' })
  const error = await t.throwsAsync(session.write(`${kvOf(TENANT)}/data/${newSlot()}/1-${'0'.repeat(32)}`, { data: { sealed: 'a body to look for' } }), {
    code: 'KEYSTORE_REFUSED',
  })
  const said = `${error.stack ?? ''} ${JSON.stringify(error)} ${String(error.cause)}`
  t.false(/a-token-that|a body to/.test(said))
})
