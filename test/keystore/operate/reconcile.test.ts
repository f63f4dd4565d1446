// Two logs of one truth: the keystore's own, and the authority's as it writes it; and what is found when they differ.
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { openAudit } from '#authority/audit.ts'
import { checked } from '#keystore-client/answers.ts'
import { openSession } from '#keystore-client/session.ts'
import { createSigner, signIn, signJwt } from '#keystore-client/sign-in.ts'
import { type Difference, reconcile } from '#keystore-operate/reconcile.ts'
import { Type } from '#protocol/typebox.js'
import { holdfast } from '../../agent/cli/holdfast.ts'
import { type Escrow, newEscrow, newFacts, startProvisioned, TENANT } from '../client/provisioned.ts'

const ALL = { since_ms: 0, until_ms: Number.POSITIVE_INFINITY }
const folder = mkdtempSync(join(tmpdir(), 'holdfast-reconcile-'))
const site = await startProvisioned()
const { keystore, connection, transport, cluster, admin } = site
const escrow = await newEscrow(site)
await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
test.after.always(async () => {
  await site.close()
  rmSync(folder, { recursive: true, force: true })
})

let logs = 0
/** What the authority records, as the authority records it. */
async function authorityLog(acts: readonly (readonly [act: string, facts: Record<string, string>])[]): Promise<string> {
  const file = join(folder, `authority-${logs++}.log`)
  const audit = await openAudit(file, Date.now)
  for (const [act, facts] of acts) await audit.record({ act, who: 'ann', facts })
  await audit.close()
  return file
}

/** Does something at the keystore, and gives back what its log says of that alone: tests are one after another for that. */
async function keystoreLog(act: () => Promise<unknown>): Promise<string> {
  const [file = ''] = cluster.auditFiles
  const before = readFileSync(file).length
  await act()
  const log = join(folder, `keystore-${logs++}.log`)
  writeFileSync(log, readFileSync(file).subarray(before))
  return log
}

async function differences(authority: string, keystoreLogs: readonly string[]): Promise<Difference[]> {
  const found: Difference[] = []
  await reconcile({ authority, keystore: keystoreLogs }, ALL, difference => found.push(difference))
  return found
}
const kinds = (found: readonly Difference[]): string[] => found.map(({ kind }) => kind)

/** A key given to its owner: both sides' records. */
async function fetched({ slot, kid }: Escrow = escrow): Promise<{ acts: [string, Record<string, string>][]; log: string; jti: string }> {
  const facts = newFacts()
  let requests = ''
  const log = await keystoreLog(async () => {
    requests = (await keystore.openOwn(TENANT, slot, kid, facts)).request_ids.join(' ')
  })
  return {
    jti: facts.jti,
    log,
    acts: [
      ['key.open', { ...facts, slot, kid }],
      ['key.opened', { jti: facts.jti, requests }],
    ],
  }
}

test.serial('a key that was given out by an act of the authority is no difference', async t => {
  const { acts, log } = await fetched()
  t.deepEqual(await differences(await authorityLog(acts), [log]), [])
})

test.serial('a key that was opened with a stolen signing key is named, with tenant and slot', async t => {
  const { log, jti } = await fetched()
  const found = await differences(await authorityLog([]), [log])
  t.deepEqual(kinds(found), ['sign-in-without-act', 'opening-without-act'])
  t.like(found[1], { tenant: TENANT, slot: escrow.slot, jti: `${jti}-1` })
})

test.serial('a key that was opened with a root token is named', async t => {
  const log = await keystoreLog(() => admin.write(`tr-${TENANT}/decrypt/${escrow.slot}`, { ciphertext: escrow.sealed }))
  const found = await differences(await authorityLog([]), [log])
  t.like(found[0], { kind: 'opening-without-act', who: 'root', slot: escrow.slot })
  t.is(found.length, 1)
})

test.serial('an act for another slot than was opened is named', async t => {
  const { acts, log } = await fetched()
  const [open = ['', {}], opened = ['', {}]] = acts
  const other = `s-${'0'.repeat(32)}`
  const found = await differences(await authorityLog([[open[0], { ...open[1], slot: other }], opened]), [log])
  t.deepEqual(kinds(found), ['opening-of-another-slot', 'act-without-opening'])
})

test.serial('what the authority says that it opened, and the keystore does not know, is named', async t => {
  const { acts } = await fetched()
  const found = await differences(await authorityLog(acts), [])
  t.like(found[0], { kind: 'act-without-opening', slot: escrow.slot, kid: escrow.kid, who: 'ann' })
  t.is(found.length, 1)
})

test.serial('what was opened and recorded as failed, or with no outcome, is named; what failed and was not opened is not', async t => {
  const { acts, log, jti } = await fetched()
  const open = acts.slice(0, 1)
  const failed: [string, Record<string, string>] = ['key.open.failed', { jti, code: 'KEYSTORE_UNREACHABLE' }]
  t.deepEqual(kinds(await differences(await authorityLog([...open, failed]), [log])), ['opening-not-told'])
  t.deepEqual(kinds(await differences(await authorityLog(open), [log])), ['opening-not-told'])
  t.deepEqual(kinds(await differences(await authorityLog(open), [])), ['act-without-outcome'])
  t.deepEqual(kinds(await differences(await authorityLog([...open, failed]), [])), [])
})

test.serial('an act that names other requests than those that opened is named', async t => {
  const [first, second] = [await fetched(), await fetched()]
  const requests = second.acts[1]?.[1]['requests'] ?? ''
  const acts: [string, Record<string, string>][] = [...first.acts.slice(0, 1), ['key.opened', { jti: first.jti, requests }]]
  t.deepEqual(kinds(await differences(await authorityLog(acts), [first.log])), ['opening-by-another-request'])
})

test.serial('a sign-in that somebody repeated is named', async t => {
  const facts = newFacts()
  const signer = createSigner(connection, Date.now)
  const jwt = await signJwt(signer, { tenant: TENANT, role: 'owner', sub: escrow.slot, jti: `${facts.jti}-1`, device: facts.device })
  const session = openSession(transport, cluster.addresses[0] ?? '')
  const login = (): Promise<unknown> => session.write(`auth/jwt-${TENANT}/login`, { role: 'owner', jwt })
  const log = await keystoreLog(async () => [await login(), await login()])
  const acts: [string, Record<string, string>][] = [
    ['key.open', { ...facts, slot: escrow.slot }],
    ['key.open.failed', { jti: facts.jti }],
  ]
  t.deepEqual(kinds(await differences(await authorityLog(acts), [log])), ['sign-in-repeated'])
})

test.serial('one sign-in that opened twice is named', async t => {
  const facts = newFacts()
  const log = await keystoreLog(async () => {
    const claims = { tenant: TENANT, role: 'owner', sub: escrow.slot, jti: `${facts.jti}-1`, device: facts.device } as const
    const { token } = await signIn(transport, cluster.addresses[0] ?? '', createSigner(connection, Date.now), claims, { act: facts.jti, timeout_ms: 4000 })
    const session = openSession(transport, cluster.addresses[0] ?? '', { token })
    for (let use = 0; use < 2; use++) await session.write(`tr-${TENANT}/decrypt/${escrow.slot}`, { ciphertext: escrow.sealed })
  })
  const found = await differences(await authorityLog([['key.open', { ...facts, slot: escrow.slot }]]), [log])
  t.deepEqual(kinds(found), ['opening-repeated', 'opening-not-told'])
})

test.serial("the authority's acts with one jti twice, and outcomes of no act, are named", async t => {
  const { acts, log } = await fetched()
  t.deepEqual(kinds(await differences(await authorityLog([...acts, ...acts.slice(0, 1)]), [log])), ['act-repeated'])
  t.deepEqual(kinds(await differences(await authorityLog([['key.opened', { jti: '0'.repeat(32) }]]), [])), ['outcome-without-act'])
})

const Wrapped = Type.Object({ request_id: Type.String(), wrap_info: Type.Object({ accessor: Type.String(), token: Type.String() }) })

test.serial('a restore for somebody else that waits for its approval is no opening, and no difference', async t => {
  const facts = newFacts()
  const claims = { tenant: TENANT, role: 'restore', sub: 'p-bob', jti: `${facts.jti}-1`, device: 'bob' } as const
  const log = await keystoreLog(async () => {
    const { token } = await signIn(transport, cluster.addresses[0] ?? '', createSigner(connection, Date.now), claims, { act: facts.jti, timeout_ms: 4000 })
    const path = `tr-${TENANT}/decrypt/${escrow.slot}`
    checked(Wrapped, await openSession(transport, cluster.addresses[0] ?? '', { token }).write(path, { ciphertext: escrow.sealed }), path)
  })
  t.deepEqual(await differences(await authorityLog([['restore.ask', { ...facts, slot: escrow.slot }]]), [log]), [])
})

test.serial("a slot's key that root took out is named", async t => {
  const own = await newEscrow(site)
  const log = await keystoreLog(async () => {
    await admin.write(`tr-${TENANT}/keys/${own.slot}/config`, { exportable: true })
    await admin.read(`tr-${TENANT}/export/encryption-key/${own.slot}`)
  })
  t.like((await differences(await authorityLog([]), [log]))[0], { kind: 'export', slot: own.slot, tenant: TENANT })
})

/** A key handed over: both sides' records. */
async function handedOver(): Promise<{ escrow: Escrow; accept: [string, Record<string, string>]; log: string }> {
  let one: Escrow | undefined
  const log = await keystoreLog(async () => {
    one = await newEscrow(site)
    await keystore.escrow(TENANT, one.slot, one.kid, one.sealed)
  })
  if (!one) throw new Error('nothing was handed over')
  return { escrow: one, accept: ['escrow.accept', { device: newFacts().device, slot: one.slot, kid: one.kid }], log }
}

test.serial('a key that the authority accepted and handed over is no difference, nor is the slot that was made for it', async t => {
  const { accept, log } = await handedOver()
  t.deepEqual(await differences(await authorityLog([accept]), [log]), [])
})

test.serial('a key that somebody else handed over is named, and so is one for another slot', async t => {
  const { escrow: one, accept, log } = await handedOver()
  const found = await differences(await authorityLog([]), [log])
  t.deepEqual(kinds(found), ['escrow-without-act'])
  t.like(found[0], { tenant: TENANT, slot: one.slot, kid: one.kid })
  const other: [string, Record<string, string>] = [accept[0], { ...accept[1], slot: `s-${'0'.repeat(32)}` }]
  t.deepEqual(kinds(await differences(await authorityLog([other]), [log])), ['escrow-of-another-slot', 'act-without-escrow'])
})

test.serial('a key that was accepted and never handed over is named, unless a newer one of its slot was', async t => {
  const { escrow: one, accept, log } = await handedOver()
  const older: [string, Record<string, string>] = [accept[0], { ...accept[1], kid: `1-${'0'.repeat(32)}` }]
  const newer: [string, Record<string, string>] = [accept[0], { ...accept[1], kid: `2-${'1'.repeat(32)}` }]
  t.deepEqual(await differences(await authorityLog([older, accept]), [log]), [])
  const found = await differences(await authorityLog([accept, newer]), [log])
  t.deepEqual(kinds(found), ['act-without-escrow'])
  t.like(found[0], { slot: one.slot, kid: newer[1]['kid'], who: 'ann' })
})

test.serial("a signature by the tenant's identity without a slot that was made right before it is named", async t => {
  const sign = (): Promise<unknown> => admin.write(`tr-${TENANT}/sign/identity`, { input: 'AAAA' })
  const found = await differences(await authorityLog([]), [await keystoreLog(sign)])
  t.deepEqual(kinds(found), ['signing-without-slot'])
  t.like(found[0], { tenant: TENANT, who: 'root' })
  // One slot, two signatures.
  const log = await keystoreLog(async () => [await newEscrow(site), await sign()])
  t.deepEqual(kinds(await differences(await authorityLog([]), [log])), ['signing-without-slot'])
  // Several slots at once, as the authority makes them.
  const many = await keystoreLog(() => Promise.all([newEscrow(site), newEscrow(site), newEscrow(site)]))
  t.deepEqual(await differences(await authorityLog([]), [many]), [])
})

test.serial('a line that a full disk cut short hides nothing of the next one', async t => {
  const { acts, log } = await fetched()
  const whole = readFileSync(log)
  const torn = join(folder, 'torn.log')
  writeFileSync(torn, whole.subarray(0, 300))
  appendFileSync(torn, whole)
  t.deepEqual(await differences(await authorityLog(acts), [torn]), [])
})

test.serial('an authority log of which a line was changed is refused, and the command ends with 6 for that as for any difference', async t => {
  const { acts, log } = await fetched()
  const good = await authorityLog(acts)
  const run = (authority: string, ...more: string[]): ReturnType<typeof holdfast> =>
    holdfast(['reconcile', '--authority', authority, '--keystore', log, '--until', '2100-01-01', ...more], { launcher: 'holdfast-keystore' })
  t.like(await run(good), { code: 0, out: '1 acts, 1 openings, 1 sign-ins and 0 escrows compared: no difference\n' })

  const empty = await authorityLog([])
  const told = await run(empty)
  t.is(told.code, 6)
  t.regex(told.out, new RegExp(`opening-without-act.*tenant ${TENANT}, slot ${escrow.slot}`))
  t.is((JSON.parse((await run(empty, '--json')).out) as { differences: number }).differences, 2)
  t.is((await run(empty, '--since', '2099-01-01')).code, 0, 'outside the period nothing is told')

  const altered = join(folder, 'altered.log')
  copyFileSync(good, altered)
  writeFileSync(altered, readFileSync(good, 'utf8').replace('"ann"', '"bob"'))
  t.like(await run(altered), { code: 6 })
  t.regex((await run(altered)).err, /^LOG_BROKEN.*line 1/)
})
