// The worst day, through all of it: every node of the keystore is lost, and a snapshot comes back into a new one. What counts
// is not that keys open, but that every user has every file again, on a device that never had the key.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { writeConnection } from '#keystore-client/connection.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { lastSnapshot } from '#keystore-operate/snapshot-record.ts'
import { type Cluster, startCluster } from '#keystore-server/cluster.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { startProvisioned } from '../keystore/client/provisioned.ts'
import { keystoreCommand, tokenFile } from '../keystore/operate/duty.ts'
import { peopleOf, until } from './people.ts'
import { startSite } from './site.ts'
import { makeTree } from './tree.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-total-loss-'))
const lost = await startProvisioned({ folder: join(folder, 'lost'), tenants: ['default'] })
const file = (name: string, text = ''): string => {
  if (text !== '') writeFileSync(join(folder, name), text, { mode: 0o600 })
  return join(folder, name)
}
const connectionFile = file('keystore.json')
writeConnection(connectionFile, lost.connection)
const site = await startSite({ folder: join(folder, 'site'), keystore: connectionFile })
const people = peopleOf(site, folder)
let fresh: Cluster | undefined
test.after.always(async () => {
  await site.close()
  await fresh?.stop()
  await lost.close()
  rmSync(folder, { recursive: true, force: true })
})

const treeOf = (user: string): string => join(folder, `tree of ${user}`)
let seed = 0
/** A user with a device, whose files are backed up and whose key is safe. */
async function backedUp(user: string): Promise<string> {
  if (user !== 'ann') await people.add(user)
  const { home } = await people.paired(user, `${user}-1`)
  makeTree(treeOf(user), ++seed, 400_000)
  await site.agentJson(home, 'backup', treeOf(user))
  await people.untilSafe(home)
  return home
}
const run = async (t: ExecutionContext, words: readonly string[], input = ''): Promise<string> => {
  const ended = await keystoreCommand(words, { input })
  t.is(ended.code, 0, `${words.join(' ')}: ${ended.err}`)
  return ended.out
}
const slotOf = async (user: string): Promise<string> => {
  const { escrows } = JSON.parse(await site.appliance('escrow', 'list', '--json')) as { escrows: { slot: string; kid: string }[] }
  const { escrow } = await people.status(join(folder, `${user}-1`))
  return escrows.find(({ kid }) => kid === escrow?.kid)?.slot ?? ''
}

test('when every node of the keystore is lost, every user restores every file on a new device from the snapshot, and who was erased stays so', async t => {
  await people.slotsReady()
  for (const user of ['ann', 'ben', 'fay']) await backedUp(user)
  await people.slotsReady()
  const identity = file('identity')
  const recipient = (await run(t, ['snapshot', 'key', '--out', identity])).trim()
  const { addresses, ca, certificate, key } = lost.connection
  const access = file('access.json', JSON.stringify({ addresses, ca, certificate, key }))
  const snapshots = file('snapshots')
  const token = await tokenFile(lost, 'snapshot', ['default'])
  await run(t, ['snapshot', 'take', '--access', access, '--token-file', token, '--out', snapshots, '--recipient', recipient])

  // After the snapshot: cleo still gets a slot that it has, eve one that it has not (the newest is given); and fay is erased.
  await backedUp('cleo')
  await people.slotsReady()
  await backedUp('eve')
  const list = file('erased.log')
  const erase = (...words: string[]): Promise<string> => run(t, ['erase', ...words, '--list', list, '--token-file', '-'], `${lost.cluster.rootToken}\n`)
  await erase(await slotOf('fay'), '--tenant', 'default', '--access', access, '--why', 'request 17')
  await site.appliance('device', 'deauthorize', (await people.status(join(folder, 'fay-1'))).device)

  await lost.cluster.stop()
  rmSync(join(folder, 'lost', 'n1'), { recursive: true })
  // Backups go on meanwhile.
  writeFileSync(join(treeOf('ann'), 'newer'), 'written while the keystore was gone')
  await site.agentJson(join(folder, 'ann-1'), 'backup')

  fresh = await startCluster(join(folder, 'fresh'), { nodes: 1 })
  const reach = { addresses: [...fresh.addresses], ca: fresh.ca, certificate: fresh.clientCertificate, key: fresh.clientKey }
  const newAccess = file('new-access.json', JSON.stringify(reach))
  const { file: snapshot = '' } = lastSnapshot(snapshots) ?? {}
  const restoring = ['snapshot', 'restore', join(snapshots, snapshot), '--access', newAccess, '--identity-file', identity, '--token-file', '-']
  await run(t, restoring, `${fresh.rootToken}\n`)
  const transport = createTransport(reach)
  t.teardown(() => transport.close())
  await until(
    () => transport.send({ address: reach.addresses[0] ?? '', method: 'GET', path: 'sys/seal-status' }),
    ({ body }) => (body as { sealed?: boolean } | undefined)?.sealed === true,
  )
  for (const share of lost.cluster.shares.slice(2)) await run(t, ['unseal', '--access', newAccess, '--share-file', '-'], `${share}\n`)
  await fresh.active()
  t.regex(await erase('--again', '--access', newAccess), /; 1 of them had come back/)
  // The new keystore is elsewhere: the appliance's connection names it, with the same signing key.
  const pem = ['--ca', file('ca.pem', reach.ca), '--certificate', file('client.pem', reach.certificate), '--key', file('client.key', reach.key)]
  const again = ['provision', '--connection', connectionFile, '--address', ...reach.addresses, ...pem, '--token-file', '-']
  t.regex(await run(t, again, `${lost.cluster.rootToken}\n`), /^Everything is as it should be\./)
  await site.stop()
  cpSync(connectionFile, join(site.home, 'authority', 'keystore.json'))
  await site.start()

  const { lost: slotsLost } = JSON.parse(await site.appliance('escrow', 'redeliver', '--json')) as { lost: number }
  t.is(slotsLost, 2, "fay's, and the one that was made after the snapshot")
  for (const [user, epoch] of Object.entries({ ann: 1, ben: 1, cleo: 1, eve: 2 })) {
    const home = join(folder, `${user}-1`)
    await site.agentJson(home, 'backup')
    const { device, escrow } = await people.untilSafe(home)
    t.is(escrow?.epoch, epoch, user)
    const second = await people.paired(user, `${user}-2`, '--take-over', device)
    t.is(second.key, 'fetched', user)
    const target = join(folder, `back-${user}`)
    mkdirSync(target)
    await site.agentJson(second.home, 'restore', '--to', target)
    t.deepEqual(compareFolders(treeOf(user), join(target, treeOf(user)), () => false).differences, [], user)
  }
  const erased = await people.paired('fay', 'fay-2')
  t.is(erased.key, 'waiting')
  const ended = await site.agent(erased.home, 'restore', '--to', join(folder, 'back-fay'))
  t.regex(ended.err, /^ESCROW_WAITING: /m)
  t.is((await people.applianceStatus()).keystore.lost, 1)
})
