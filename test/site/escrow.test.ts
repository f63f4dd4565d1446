// Escrow through the whole of it: agents, authority, and a real keystore. The key that a device makes outlives the device.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore } from './keystore.ts'
import { peopleOf, until } from './people.ts'
import { startSite, type TestSite } from './site.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-escrow-'))
const keystore = await startKeystore(folder)
const site = await startSite({ folder: join(folder, 'site'), keystore: keystore.connection })
test.after.always(async () => {
  await site.close()
  await keystore.stop()
  rmSync(folder, { recursive: true, force: true })
})

const tree = join(folder, 'tree')
mkdirSync(tree)
writeFileSync(join(tree, 'letter'), 'what must not be lost')
writeFileSync(join(tree, 'large'), Buffer.alloc(3_000_000, 'seven bytes '))

const people = peopleOf(site, folder)
const { password, status, applianceStatus, slotsReady, add: addUser, link: linkFor, pair, paired } = people
/** The keys themselves. */
const keyLines = async (home: string): Promise<string> => (await people.keyLines(home)).join('\n')
const restored = async (one: TestSite, home: string, name: string): Promise<string[]> => {
  const target = join(folder, name)
  await one.agentJson(home, 'restore', '--to', target)
  return [...compareFolders(tree, join(target, tree), () => false).differences]
}

test.serial('how many slots are kept ready is changed while the appliance runs, and stays so when it is started again', async t => {
  await slotsReady()
  const { ready, running } = JSON.parse(await site.appliance('slots', '--ready', '6', '--json')) as { ready: number; running: boolean }
  t.is(ready, 6)
  t.true(running)
  await until(applianceStatus, ({ keystore: { slots_free } }) => slots_free['default'] === 6)
  await site.stop()
  t.regex(await site.appliance('slots', '--ready', '7'), /^7 slots of each tenant are kept ready\ndefault: 6 ready now\nMore are made when the appliance runs/)
  await site.start()
  await until(applianceStatus, ({ keystore: { slots_free } }) => slots_free['default'] === 7)
  // Fewer are kept from now on, and none is thrown away.
  t.regex(await site.appliance('slots', '--ready', '3'), /^3 slots of each tenant are kept ready\ndefault: 7 ready now\n$/)
})

test.serial('the first device makes the key, and it is safe once the keystore has it', async t => {
  await slotsReady()
  const { home, key } = await paired('ann', 'ann-1')
  t.is(key, 'made')
  const { escrow } = await until(
    () => status(home),
    answer => typeof answer.escrow?.safe_ms === 'number',
  )
  t.regex(escrow?.kid ?? '', /^1-[0-9a-f]{32}$/)
  await site.agentJson(home, 'backup', tree)
  t.is((await applianceStatus()).keystore.waiting, 0)
})

test.serial('a further device of the same user gets the same key, and with it what the first one backed up', async t => {
  const first = join(folder, 'ann-1')
  const { home, key } = await paired('ann', 'ann-2')
  t.is(key, 'fetched')
  t.is(await keyLines(home), await keyLines(first))
  const { archive } = await status(first)
  const file = join(folder, 'ann-2.key')
  await site.agentJson(home, 'key', 'export', '--to', file)
  const target = join(folder, 'recovered')
  const ended = await holdfast(['recover', '--archive', join(site.home, 'storage', 'archives', archive), '--key-file', file, '--to', target])
  t.is(ended.code, 0, ended.err)
  t.deepEqual(compareFolders(tree, join(target, tree), () => false).differences, [])
})

test.serial('the new laptop goes on with the archive of the old one, which is out', async t => {
  const first = join(folder, 'ann-1')
  const { device, archive } = await status(first)
  const { home, key } = await paired('ann', 'ann-3', '--take-over', device.slice(0, 8))
  t.is(key, 'fetched')
  t.is((await status(home)).archive, archive)
  t.deepEqual(await restored(site, home, 'back-3'), [])
  const again = await site.agentJson<{ new_blocks: number }>(home, 'backup', tree)
  t.is(again.new_blocks, 0)
  const out = await site.agent(first, 'backup', tree)
  t.is(out.code, 4)
  t.regex(out.err, /^DEVICE_DEAUTHORIZED: /m)
})

test.serial('after a device is out, backups go on under a new key, which the other devices of the user get, and nothing is sent again', async t => {
  const [second, third] = [join(folder, 'ann-2'), join(folder, 'ann-3')]
  // Made by the backup in the test before.
  t.is(
    (
      await until(
        () => status(third),
        answer => typeof answer.escrow?.safe_ms === 'number',
      )
    ).escrow?.epoch,
    2,
  )
  writeFileSync(join(tree, 'newer'), 'written under the new key')
  const { read_bytes } = await site.agentJson<{ read_bytes: number }>(third, 'backup', tree)
  t.is(read_bytes, 'written under the new key'.length)
  t.is((await keyLines(third)).split('\n').length, 2)
  t.is((await keyLines(second)).split('\n').length, 1)
  await site.agentJson(second, 'backup', tree)
  t.is(await keyLines(second), await keyLines(third))
  t.deepEqual(await restored(site, third, 'back-rotated'), [])
  await site.agentJson(third, 'verify', '--read-data')
})

test.serial("nobody takes over another user's device", async t => {
  await addUser('mallory')
  await slotsReady()
  const { device } = await status(join(folder, 'ann-3'))
  const ended = await pair('mallory', 'mallory', '--take-over', device)
  t.not(ended.code, 0)
  t.regex(ended.err, /^DEVICE_UNKNOWN: /)
})

test.serial('two devices of one user that pair at the same moment end with one key', async t => {
  await addUser('bob')
  await slotsReady()
  const both = await Promise.all([paired('bob', 'bob-1'), paired('bob', 'bob-2')])
  t.true(both.some(({ key }) => key === 'made'))
  // The second may have to wait for the key to arrive at the keystore: the first command that needs it fetches it.
  for (const { home } of both) {
    const ended = await until(
      () => site.agent(home, 'backup', tree),
      ({ code }) => code === 0 || code === 1,
    )
    t.is(ended.code, 0, ended.err)
  }
  t.is(await keyLines(both[0].home), await keyLines(both[1].home))
})

test.serial('with the keystore away, users pair and back up; their keys arrive when it is back', async t => {
  await addUser('cleo')
  await slotsReady()
  await keystore.stop()
  const first = await paired('cleo', 'cleo-1')
  t.is(first.key, 'made')
  await site.agentJson(first.home, 'backup', tree)
  t.is((await status(first.home)).escrow?.safe_ms, null)
  const shown = await site.agent(first.home, 'status')
  t.regex(shown.out, /user key {7}NOT YET SAFE/)
  const { waiting, nodes } = (await applianceStatus()).keystore
  t.is(waiting, 1)
  t.is(nodes[0]?.state, 'unreachable')
  const second = await paired('cleo', 'cleo-2')
  t.is(second.key, 'waiting')
  const early = await site.agent(second.home, 'backup', tree)
  t.is(early.code, 5)
  t.regex(early.err, /^ESCROW_WAITING: /m)
  // What waits survives the authority.
  await site.kill('authority')
  await site.start()
  await keystore.start()
  await until(
    () => status(first.home),
    answer => typeof answer.escrow?.safe_ms === 'number',
  )
  await site.agentJson(second.home, 'backup', tree)
  t.is(await keyLines(first.home), await keyLines(second.home))
})

test.serial('after the keystore was set back to an older state, every key is safe again, those of users who came since too', async t => {
  const kept = join(folder, 'kept')
  await keystore.stop()
  cpSync(keystore.home, kept, { recursive: true })
  await keystore.start()
  await addUser('gil')
  // More than the pool had ready, so that one of the slots is younger than what was kept.
  for (const user of ['gil', 'hal', 'ida', 'jon']) {
    if (user !== 'gil') await addUser(user)
    await paired(user, `${user}-1`)
  }
  for (const user of ['gil', 'hal', 'ida', 'jon'])
    await until(
      () => status(join(folder, `${user}-1`)),
      answer => typeof answer.escrow?.safe_ms === 'number',
    )
  await keystore.stop()
  rmSync(keystore.home, { recursive: true })
  cpSync(kept, keystore.home, { recursive: true })
  await keystore.start()
  const { count, lost } = JSON.parse(await site.appliance('escrow', 'redeliver', '--json')) as { count: number; lost: number }
  t.true(count >= 7)
  t.true(lost >= 1)
  for (const user of ['gil', 'hal', 'ida', 'jon']) {
    const home = join(folder, `${user}-1`)
    await site.agentJson(home, 'backup', tree)
    await until(
      () => status(home),
      answer => typeof answer.escrow?.safe_ms === 'number',
    )
    t.is(await keyLines((await paired(user, `${user}-2`)).home), await keyLines(home), user)
  }
})

test.serial('a link that names another keystore ends the pairing, and no key was made', async t => {
  const link = (await linkFor('ann')).replace(/ks=.{43}/, `ks=${'B'.repeat(43)}`)
  const home = join(folder, 'forged')
  const ended = await holdfast(['pair', link, '--home', home, '--password-file', password])
  t.is(ended.code, 4)
  t.regex(ended.err, /^KEYSTORE_MISMATCH: /m)
  t.is((await site.agent(home, 'status')).code, 1)
})

test.serial('a key is given to a device only until it says that it has it', async t => {
  const home = join(folder, 'ann-2')
  // Its key is lost (as after a damaged store): what it signed in for is used up.
  rmSync(join(home, 'authorized', 'user-key-ring'))
  const ended = await site.agent(home, 'snapshots')
  t.is(ended.code, 4, ended.err)
  t.regex(ended.err, /^KEY_NOT_GRANTED: /m)
})

test.serial('each opening of a key has its audit records, before and after, with the keystore’s own request ids', async t => {
  const log = readFileSync(join(site.home, 'authority', 'audit.log'), 'utf8')
  const lines = log
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { act: string; facts?: Record<string, string> })
  const opens = lines.filter(({ act }) => act === 'key.open')
  t.true(opens.length >= 4)
  for (const open of opens) {
    const jti = open.facts?.['jti']
    const after = lines.filter(line => line.facts?.['jti'] === jti && line !== open)
    t.is(after.length, 1)
    t.true(lines.indexOf(open) < lines.indexOf(after[0] as (typeof lines)[0]))
    if (after[0]?.act === 'key.opened') t.is(after[0].facts?.['requests']?.split(' ').length, 3)
  }
  await site.appliance('audit', 'verify')
})
