// The drill on a real keystore: what opens is proven, what does not is named, and nobody could have read anything.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { openSession } from '#keystore-client/session.ts'
import { sampleOf } from '#keystore-operate/drill.ts'
import { isFault } from '#protocol/fault.ts'
import { auditedLines } from '../client/audit.ts'
import { type Escrow, newEscrow, newSlot, sealTo, startProvisioned, TENANT } from '../client/provisioned.ts'
import { accessFile, keystoreCommand, tokenFile } from './duty.ts'

const site = await startProvisioned()
const { keystore, admin, transport, cluster } = site
const access = accessFile(site)
const token = await tokenFile(site, 'drill')
const escrows: Escrow[] = []
for (let count = 0; count < 3; count++) escrows.push(await newEscrow(site))
for (const { slot, kid, sealed } of escrows) await keystore.escrow(TENANT, slot, kid, sealed)
test.after.always(() => site.close())

const lineOf = ({ slot, kid, sealed }: Escrow): string =>
  JSON.stringify({ tenant: TENANT, slot, kid, sealed_sha256: createHash('sha256').update(sealed).digest('hex') })
const drill = (lines: readonly string[], ...more: string[]): ReturnType<typeof keystoreCommand> =>
  keystoreCommand(['drill', '--access', access, '--list', '-', '--token-file', token, '--json', ...more], { input: lines.join('\n') })
const failures = (out: string): string[] => (JSON.parse(out) as { failed: { failure: string }[] }).failed.map(({ failure }) => failure)

test('escrows that open are proven to, and nothing was decrypted to anybody', async t => {
  const done = await drill(escrows.map(lineOf))
  t.is(done.code, 0, done.err)
  t.like(JSON.parse(done.out), { total: 3, tried: 3, failed: [], ok: true })
  const own = auditedLines(cluster).filter(line => line.includes('duty-drill'))
  t.true(own.some(line => line.includes('/rewrap/')))
  t.false(own.some(line => line.includes('"plaintext"')))
})

test('an escrow that is gone, sealed to another slot, without a key, or another than was handed over, is named', async t => {
  const [one] = escrows
  if (!one) return t.fail()
  const [foreign, erased] = [await newEscrow(site), await newEscrow(site)]
  // Sealed to the key of another slot.
  const other = { ...foreign, sealed: one.sealed }
  for (const { slot, kid, sealed } of [other, erased]) await keystore.escrow(TENANT, slot, kid, sealed)
  await admin.write(`tr-${TENANT}/keys/${erased.slot}/config`, { deletion_allowed: true })
  await admin.remove(`tr-${TENANT}/keys/${erased.slot}`)
  const missing = { ...one, slot: newSlot() }
  const { public_key } = await keystore.makeSlot(TENANT, one.slot)
  const replaced = { ...one, sealed: sealTo(one.slot, public_key).sealed }
  const done = await drill([missing, other, erased, replaced].map(lineOf))
  t.is(done.code, 6)
  t.deepEqual(failures(done.out), [
    'there is no such entry',
    'it does not open (ESCROW_UNREADABLE)',
    'the slot has no key',
    'it is not what the endpoint handed over',
  ])
})

test('a token of the duty drill opens nothing and lists nothing', async t => {
  const session = openSession(transport, cluster.addresses[0] ?? '', { token: readFileSync(token, 'utf8').trim() })
  const [one] = escrows
  if (!one) return t.fail()
  const ciphertext = one.sealed
  const tries: readonly (readonly [path: string, body: object])[] = [
    [`tr-${TENANT}/decrypt/${one.slot}`, { ciphertext }],
    [`tr-${TENANT}/rewrap/${one.slot}`, { batch_input: [{ ciphertext }] }],
    [`tr-${TENANT}/rewrap/${one.slot}`, { ciphertext, key_version: 1 }],
    [`tr-${TENANT}/keys/${one.slot}/config`, { exportable: true }],
    [`kv-${TENANT}/data/${one.slot}/${one.kid}`, { data: {} }],
  ]
  for (const [path, body] of tries) t.true(isFault(await t.throwsAsync(session.write(path, body)), 'KEYSTORE_REFUSED'), path)
  t.true(isFault(await t.throwsAsync(session.read(`tr-${TENANT}/keys/${one.slot}`)), 'KEYSTORE_REFUSED'))
})

test('a sample of a long list has every line with the same chance', async t => {
  const lines = Array.from({ length: 20 }, (_, at) =>
    JSON.stringify({ tenant: TENANT, slot: `s-${'0'.repeat(30)}${String(at).padStart(2, '0')}`, kid: `1-${'0'.repeat(32)}` }),
  )
  const drawn = new Map<string, number>()
  for (let round = 0; round < 400; round++) {
    const { total, sample } = await sampleOf(
      (async function* () {
        yield* lines
      })(),
      5,
    )
    t.is(total, 20)
    t.is(new Set(sample.map(({ slot }) => slot)).size, 5)
    for (const { slot } of sample) drawn.set(slot, (drawn.get(slot) ?? 0) + 1)
  }
  // 100 are expected of each; six standard deviations are 52.
  for (const [slot, count] of drawn) t.true(count > 48 && count < 152, `${slot}: ${count}`)
})

test('a list that is none is refused', async t => {
  for (const line of ['{}', 'x', JSON.stringify({ tenant: TENANT, slot: '../x', kid: '1-0' })]) t.not((await drill([line])).code, 0)
  writeFileSync(join(site.folder, 'empty'), '')
  t.like(JSON.parse((await drill([])).out), { total: 0, tried: 0 })
})
