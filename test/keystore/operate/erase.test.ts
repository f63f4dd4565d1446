// Erasing on a real keystore: what is erased stays erased, also when a snapshot from before comes back.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createKeystore } from '#keystore-client/keystore.ts'
import { makeIdentity } from '#keystore-operate/age.ts'
import { erasuresIn, noteErasure } from '#keystore-operate/erasures.ts'
import { restoreSnapshot } from '#keystore-operate/restore-snapshot.ts'
import { takeSnapshot } from '#keystore-operate/snapshot.ts'
import { startCluster } from '#keystore-server/cluster.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { newEscrow, newFacts, newSlot, opensKey, startProvisioned, TENANT } from '../client/provisioned.ts'
import { accessFile, keystoreCommand } from './duty.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-erase-'))
const site = await startProvisioned()
const { cluster, connection, transport, keystore, admin } = site
const access = accessFile(site)
const [erased, other] = [await newEscrow(site), await newEscrow(site)]
for (const { slot, kid, sealed } of [erased, other]) await keystore.escrow(TENANT, slot, kid, sealed)
test.after.always(async () => {
  await site.close()
  rmSync(folder, { recursive: true, force: true })
})

const list = join(folder, 'erased.log')
const erase = (token: string, ...words: string[]): ReturnType<typeof keystoreCommand> =>
  keystoreCommand(['erase', ...words, '--tenant', TENANT, '--list', list, '--token-file', '-'], { input: `${token}\n` })

test.serial('an erased user stays erased when a snapshot from before is brought back, and nobody else is', async t => {
  const { identity, recipient } = makeIdentity()
  const taking = {
    access: connection,
    transport,
    token: cluster.rootToken,
    folder: join(folder, 'snapshots'),
    recipients: [recipient],
    keep: 1,
    now_ms: Date.now(),
  }
  const { file } = await takeSnapshot(taking)
  await keystore.openOwn(TENANT, erased.slot, erased.kid, newFacts())
  const done = await erase(cluster.rootToken, erased.slot, '--access', access, '--why', 'request 17')
  t.is(done.code, 0, done.err)
  t.true(isFault(await t.throwsAsync(keystore.openOwn(TENANT, erased.slot, erased.kid, newFacts())), 'ESCROW_MISSING'))
  t.true(isFault(await t.throwsAsync(admin.read(`tr-${TENANT}/keys/${erased.slot}`)), 'KEYSTORE_NOT_FOUND'))
  t.like((await erasuresIn(list))[0], { tenant: TENANT, slot: erased.slot, why: 'request 17', number: 1 })

  const fresh = await startCluster(join(folder, 'fresh'), { nodes: 1 })
  t.teardown(() => fresh.stop())
  const [address = ''] = fresh.addresses
  const newAccess = { addresses: [address], ca: fresh.ca, certificate: fresh.clientCertificate, key: fresh.clientKey }
  await restoreSnapshot(newAccess, address, fresh.rootToken, join(taking.folder, file), [identity])
  const newAccessFile = join(folder, 'fresh.json')
  writeFileSync(newAccessFile, JSON.stringify(newAccess))
  const again = createKeystore({ ...connection, ...newAccess })
  t.teardown(() => again.close())
  while ((await again.state())[0]?.state !== 'sealed') {}
  for (const share of cluster.shares.slice(0, 3)) await keystoreCommand(['unseal', '--access', newAccessFile, '--share-file', '-'], { input: `${share}\n` })
  await fresh.active()
  t.true(opensKey((await again.openOwn(TENANT, erased.slot, erased.kid, newFacts())).opened, erased), 'it has come back with the snapshot')
  // The old root token is good again, the new one is gone.
  const replayed = await erase(cluster.rootToken, '--again', '--access', newAccessFile)
  t.regex(replayed.out, /^1 slots are in the list; 1 of them had come back/)
  t.true(isFault(await t.throwsAsync(again.openOwn(TENANT, erased.slot, erased.kid, newFacts())), 'ESCROW_MISSING'))
  t.true(opensKey((await again.openOwn(TENANT, other.slot, other.kid, newFacts())).opened, other))
  t.regex((await erase(cluster.rootToken, '--again', '--access', newAccessFile)).out, /; 0 of them had come back/)
})

test.serial('who has no root token erases nothing, now or when the list is gone through again', async t => {
  const { auth } = (await admin.write('auth/token/create', { policies: ['operator'], no_default_policy: true })) as { auth: { client_token: string } }
  const refused = await erase(auth.client_token, other.slot, '--access', access)
  t.is(refused.code, 4, refused.err)
  t.regex(refused.err, /^KEYSTORE_REFUSED/)
  t.true(await keystore.isEscrowed(TENANT, other.slot, other.kid))
  t.false((await erasuresIn(list)).some(({ slot }) => slot === other.slot))
})

test.serial('a list of which a line was taken out is refused, and a line that a crash cut short is not', async t => {
  const own = join(folder, 'own.log')
  for (let number = 0; number < 3; number++) await noteErasure(own, { tenant: TENANT, slot: newSlot(), why: '', now_ms: 0 })
  appendFileSync(own, '{"number":4,"ti')
  await noteErasure(own, { tenant: TENANT, slot: newSlot(), why: '', now_ms: 0 })
  t.deepEqual(
    (await erasuresIn(own)).map(({ number }) => number),
    [1, 2, 3, 4],
  )
  const lines = readFileSync(own, 'utf8').split('\n')
  writeFileSync(own, [lines[0], ...lines.slice(2)].join('\n'))
  const error = await t.throwsAsync(erasuresIn(own))
  t.true(error instanceof Fault && error.code === 'LOG_BROKEN')
  t.is((await erase('x', '--access', access)).code, 2, 'neither a slot nor --again')
})
