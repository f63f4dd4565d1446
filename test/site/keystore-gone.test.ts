// All three nodes of the keystore are gone for a day, and come back; and a site whose clock is wrong. People notice neither:
// they pair and back up, and their keys arrive when they can.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { writeConnection } from '#keystore-client/connection.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { startProvisioned } from '../keystore/client/provisioned.ts'
import { HOUR_MS, shifted } from './clock.ts'
import { peopleOf, until } from './people.ts'
import { startSite } from './site.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-keystore-gone-'))
const keystore = await startProvisioned({ folder: join(folder, 'keystore'), nodes: 3, tenants: ['default'] })
const connectionFile = join(folder, 'keystore.json')
writeConnection(connectionFile, keystore.connection)
const site = await startSite({ folder: join(folder, 'site'), keystore: connectionFile })
const people = peopleOf(site, folder)
test.after.always(async () => {
  await site.close()
  await keystore.close()
  rmSync(folder, { recursive: true, force: true })
})

const tree = join(folder, 'tree')
mkdirSync(tree)
writeFileSync(join(tree, 'letter'), 'what must not be lost')

/** The whole site, from now on at another time. */
async function restartAt(by_ms: number): Promise<void> {
  await site.stop()
  await site.start(by_ms === 0 ? {} : shifted(folder, by_ms))
}
/** A new user whose first device makes the key, and backs up. */
async function pairsAndBacksUp(t: ExecutionContext, user: string): Promise<void> {
  await people.add(user)
  const { home, key } = await people.paired(user, `${user}-1`)
  t.is(key, 'made', user)
  await site.agentJson(home, 'backup', tree)
}
/** The key is in the keystore, and a device that never had it restores with it. */
async function isSafe(t: ExecutionContext, user: string, name = `${user}-2`): Promise<void> {
  const { device } = await people.untilSafe(join(folder, `${user}-1`))
  const second = await people.paired(user, name, '--take-over', device)
  t.is(second.key, 'fetched', user)
  const target = join(folder, `back-${name}`)
  await site.agentJson(second.home, 'restore', '--to', target)
  t.deepEqual(compareFolders(tree, join(target, tree), () => false).differences, [], user)
}

test.serial('with all nodes of the keystore gone for a day, people pair and back up; when they are back every key arrives', async t => {
  await people.slotsReady()
  const ann = await people.paired('ann', 'ann-1')
  await site.agentJson(ann.home, 'backup', tree)
  await people.untilSafe(ann.home)
  await people.slotsReady()
  for (const node of keystore.cluster.nodes) await node.kill()
  // The day that passes ends now, because the keystore's clock can't be moved: so it begins a day ago.
  for (const [user, by_ms] of [
    ['bob', -23 * HOUR_MS],
    ['cleo', -12 * HOUR_MS],
    ['dan', 0],
  ] as const) {
    await restartAt(by_ms)
    await pairsAndBacksUp(t, user)
    await site.agentJson(ann.home, 'backup')
  }
  const { nodes, waiting } = (await people.applianceStatus()).keystore
  t.deepEqual(
    nodes.map(({ state }) => state),
    ['unreachable', 'unreachable', 'unreachable'],
  )
  t.is(waiting, 3)
  for (const node of keystore.cluster.nodes) await node.start()
  for (const node of keystore.cluster.nodes) await node.unseal()
  for (const user of ['ann', 'bob', 'cleo', 'dan']) await isSafe(t, user)
  t.like((await people.applianceStatus()).keystore, { waiting: 0, lost: 0, failure: null })
})

for (const [by, by_ms, first, second] of [
  ['an hour fast', HOUR_MS, 'eve', 'fay'],
  ['an hour slow', -HOUR_MS, 'gil', 'hal'],
] as const) {
  test.serial(`a site whose clock is ${by} is given no key, says which clocks differ, and goes on by itself once it is right`, async t => {
    await people.slotsReady()
    await people.add(second)
    const { home } = await people.paired(second, `${second}-1`)
    await site.agentJson(home, 'backup', tree)
    await people.untilSafe(home)
    await people.slotsReady()
    await restartAt(by_ms)
    await pairsAndBacksUp(t, first)
    t.is((await people.paired(second, `${second}-2`)).key, 'waiting')
    const early = await site.agent(join(folder, `${second}-2`), 'backup', tree)
    t.is(early.code, 5)
    t.regex(early.err, /^KEYSTORE_AWAY: .*KEYSTORE_CLOCK_WRONG/m)
    const { failure } = (
      await until(
        () => people.applianceStatus(),
        ({ keystore: { failure } }) => failure !== null,
      )
    ).keystore
    t.regex(failure ?? '', /^KEYSTORE_CLOCK_WRONG: .*the keystore's clock says/)
    await restartAt(0)
    await isSafe(t, first)
    await site.agentJson(join(folder, `${second}-2`), 'backup', tree)
    await isSafe(t, second, `${second}-3`)
  })
}
