// What `status` sees of a real keystore, and what it alarms of.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { openSession } from '#keystore-client/session.ts'
import { type Alarm, alarmsOf, changesOf } from '#keystore-operate/alarms.ts'
import { createFloodWatch } from '#keystore-operate/floods.ts'
import { type Status, statusOf } from '#keystore-operate/status.ts'
import { createAsker } from '#keystore-server/ask.ts'
import { isFault } from '#protocol/fault.ts'
import { SCRIPTS } from '../../agent/cli/holdfast.ts'
import { newEscrow, newFacts, startProvisioned, TENANT } from '../client/provisioned.ts'
import { accessFile, keystoreCommand, tokenFile } from './duty.ts'

const site = await startProvisioned()
const { cluster, connection, transport, admin, keystore } = site
const access = accessFile(site)
const watchToken = await tokenFile(site, 'watch')
const token = readFileSync(watchToken, 'utf8').trim()
const [node] = cluster.nodes
const asker = createAsker(cluster.addresses[0] ?? '', { ca: cluster.ca, certificate: cluster.clientCertificate, key: cluster.clientKey })
// One after another: each does something to the one keystore.
test.after.always(() => site.close())

const look = async (): Promise<{ status: Status; alarms: readonly Alarm[] }> => {
  const status = await statusOf({ access: connection, transport, token })
  return { status, alarms: alarmsOf(status, Date.now(), true) }
}

test.serial('a keystore that is well gives no alarm, and shows its voters to who has the token', async t => {
  const { status, alarms } = await look()
  t.deepEqual(alarms, [])
  t.deepEqual(status.inside, { voters: ['n1'], is_making_root: false, is_making_shares: false })
  t.like(status.nodes[0], { address: cluster.addresses[0], state: 'active' })
  t.true((status.nodes[0]?.certificate_end_ms ?? 0) > Date.now())
  const command = await keystoreCommand(['status', '--access', access, '--token-file', watchToken, '--json'])
  t.like(command, { code: 0 })
  t.like(JSON.parse(command.out), { ok: true, alarms: [] })
  t.is(JSON.parse((await keystoreCommand(['status', '--access', access, '--json'])).out).inside, null, 'without a token that is not known')
})

test.serial('the token of the duty watch can look and nothing else', async t => {
  const session = openSession(transport, cluster.addresses[0] ?? '', { token })
  const { slot, kid } = await newEscrow(site)
  for (const path of [`kv-${TENANT}/data/${slot}/${kid}`, 'sys/policies/acl/operator', 'sys/storage/raft/snapshot', `tr-${TENANT}/keys/${slot}`])
    t.true(isFault(await t.throwsAsync(session.read(path)), 'KEYSTORE_REFUSED'), path)
  for (const path of [`tr-${TENANT}/decrypt/${slot}`, 'sys/generate-root-token/attempt', 'auth/token/create'])
    t.true(isFault(await t.throwsAsync(session.write(path, {})), 'KEYSTORE_REFUSED'), path)
})

test.serial('somebody who begins to make a root token is an alarm', async t => {
  await admin.write('sys/generate-root-token/attempt', {})
  t.deepEqual(
    (await look()).alarms.map(({ kind }) => kind),
    ['making-root'],
  )
  await admin.remove('sys/generate-root-token/attempt')
  t.deepEqual((await look()).alarms, [])
})

test.serial('a token that has ended, a certificate that ends soon, and old snapshots are alarms', async t => {
  const { status } = await look()
  const kinds = (changed: Partial<Status>, now_ms = Date.now()): string[] => alarmsOf({ ...status, ...changed }, now_ms, true).map(({ kind }) => kind)
  t.deepEqual(kinds({ inside: undefined }), ['unseen'])
  t.deepEqual(kinds({}, status.client_certificate_end_ms - 29 * 24 * 3_600_000).slice(-1), ['certificate-ends'])
  t.deepEqual(kinds({ snapshot: null }), ['snapshot-old'])
  const snapshot = { file: '', bytes: 1, sha256: '', taken_ms: Date.now() - 25 * 3_600_000 }
  t.deepEqual(kinds({ snapshot }), ['snapshot-old'])
  t.deepEqual(kinds({ snapshot: { ...snapshot, taken_ms: Date.now() } }), [])
  t.deepEqual(kinds({ inside: { voters: [], is_making_root: false, is_making_shares: true } }), ['making-shares', 'voters-few'])
})

test.serial('a flood that the limits refused is an alarm for an hour, whatever else is in the audit log, and is read once only', async t => {
  const [file = ''] = cluster.auditFiles
  const floods = createFloodWatch([file])
  const seen = async (later_ms = 0): Promise<string[]> => (await floods.look(Date.now() + later_ms)).map(({ tenant }) => tenant)
  t.deepEqual(await seen(), [])
  const escrow = await newEscrow(site)
  await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  await admin.write('sys/quotas/rate-limit/for-a-test', { path: `tr-${TENANT}/decrypt/${escrow.slot}`, rate: 1, interval: 600 })
  await keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())
  t.deepEqual(await seen(), [])
  await t.throwsAsync(keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'KEYSTORE_BUSY' })
  t.deepEqual(await seen(), [TENANT])
  t.deepEqual(await seen(), [TENANT])
  t.deepEqual(await seen(3_601_000), [])
  const command = await keystoreCommand(['status', '--access', access, '--audit-log', file])
  t.is(command.code, 1)
  t.regex(command.out, new RegExp(`^ALARM flood tenant ${TENANT}: `, 'm'))
  await admin.remove('sys/quotas/rate-limit/for-a-test')
})

test.serial('a share that somebody gives to a sealed node is an alarm, and over when it is taken back', async t => {
  await node?.seal()
  const child = spawn(join(SCRIPTS, 'holdfast-keystore'), ['status', '--access', access, '--watch', '1'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (wanted: RegExp): Promise<void> => {
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
      t.log(line.value)
      if (wanted.test(line.value)) return
    }
    t.fail(`no line ${wanted}`)
  }
  await next(/ALARM sealed/)
  await asker.ask({ method: 'PUT', path: 'sys/unseal', body: { key: cluster.shares[0] } })
  await next(/ALARM unsealing .*: 1 of 3/)
  await asker.ask({ method: 'PUT', path: 'sys/unseal', body: { reset: true } })
  await next(/over unsealing/)
  const command = await keystoreCommand(['status', '--access', access])
  t.is(command.code, 5, 'no node is active')
  t.regex(command.out, /ALARM leaderless/)
  await node?.unseal()
  await cluster.active()
  await next(/over sealed/)
  child.kill('SIGTERM')
  t.is(await ended, 0)
})

test('an alarm that goes on is told once, and again when it says something else', t => {
  const at = (text: string): Alarm => ({ kind: 'unsealing', where: 'a', text })
  t.deepEqual(changesOf([at('1 of 3')], [at('1 of 3')]), { begun: [], ended: [] })
  t.deepEqual(changesOf([at('1 of 3')], [at('2 of 3')]), { begun: [at('2 of 3')], ended: [] })
})

test('a file that does not say how to reach the keystore is refused', async t => {
  const file = join(site.folder, 'no-access.json')
  writeFileSync(file, '{"addresses":[]}')
  for (const name of [file, join(site.folder, 'none')]) t.like(await keystoreCommand(['status', '--access', name]), { code: 2 })
})
