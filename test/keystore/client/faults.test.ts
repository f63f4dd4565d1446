// Three nodes, of which some go away in the middle of what an authority does. Prints its seed; SEED=… takes one.
import { randomInt } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import test, { type ExecutionContext } from 'ava'
import { checked } from '#keystore-client/answers.ts'
import { createKeystore, type Keystore } from '#keystore-client/keystore.ts'
import { kvOf } from '#keystore-client/names.ts'
import { openAdminSession } from '#keystore-client/session.ts'
import { until } from '#keystore-server/conditions.ts'
import { Type } from '#protocol/typebox.js'
import { type Escrow, newEscrow, newFacts, opensKey, sealTo, startProvisioned, TENANT } from './provisioned.ts'

const DONE_MS = 10_000
const AT_ONCE = 4
const DEATHS = 3

const site = await startProvisioned({ nodes: 3 })
test.after.always(() => site.close())
const { cluster, connection } = site
const seed = Number(process.env['SEED'] ?? randomInt(1_000_000))

/** Does an act again and again, several at once, until told to stop; how long the longest took, and what failed. */
function keepDoing(act: () => Promise<void>): { stop(): Promise<{ longest_ms: number; count: number; failed: unknown[] }>; count(): number } {
  let [isStopped, longest_ms, count] = [false, 0, 0]
  const failed: unknown[] = []
  const loop = async (): Promise<void> => {
    while (!isStopped) {
      const begun_ms = performance.now()
      await act().catch((error: unknown) => failed.push(error))
      longest_ms = Math.max(longest_ms, performance.now() - begun_ms)
      count++
    }
  }
  const loops = Promise.all(Array.from({ length: AT_ONCE }, loop))
  return {
    count: () => count,
    async stop() {
      isStopped = true
      await loops
      return { longest_ms, count, failed }
    },
  }
}

/** Kills the leader several times while something is done, each time after a number of acts that the seed gives. */
async function throughDeaths(t: ExecutionContext, act: () => Promise<void>): Promise<void> {
  t.log(`SEED=${seed}`)
  for (let death = 0; death < DEATHS; death++) {
    const doing = keepDoing(act)
    const more = 5 + ((seed * 31 + death * 17) % 40)
    await until(async () => doing.count() >= more, { what: `${more} acts`, timeout_ms: 60_000 })
    const leader = await cluster.active()
    await leader.kill()
    const then = doing.count()
    await until(async () => doing.count() >= then + 2 * AT_ONCE, { what: 'acts after the death', timeout_ms: 60_000 })
    const { longest_ms, count, failed } = await doing.stop()
    t.log(`death ${death + 1}: ${count} acts, the longest ${Math.round(longest_ms)} ms`)
    t.deepEqual(failed, [])
    t.true(longest_ms < DONE_MS, `${longest_ms} ms`)
    await leader.start()
    await leader.unseal()
    await untilAllWell(site.keystore)
  }
}

const untilAllWell = (keystore: Keystore): Promise<unknown> =>
  until(async () => (await keystore.state()).every(({ state }) => state === 'active' || state === 'standby'), {
    what: 'all nodes to be well',
    timeout_ms: 60_000,
  })

const Metadata = Type.Object({ data: Type.Object({ current_version: Type.Integer(), versions: Type.Record(Type.String(), Type.Unknown()) }) })

test.serial('a leader that is killed while escrows are handed over delays them by less than 10 s, and each is there exactly once', async t => {
  const first = await newEscrow(site)
  const { public_key } = await site.keystore.makeSlot(TENANT, first.slot)
  const handed: Escrow[] = []
  await throughDeaths(t, async () => {
    const escrow = sealTo(first.slot, public_key)
    const end = await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
    if (end !== 'stored' && end !== 'there') throw new Error(end)
    handed.push(escrow)
  })
  const session = openAdminSession(site.transport, (await cluster.active()).address, { token: cluster.rootToken })
  for (const { slot, kid } of handed) {
    const path = `${kvOf(TENANT)}/metadata/${slot}/${kid}`
    const { current_version, versions } = checked(Metadata, await session.read(path), path).data
    t.is(current_version, 1)
    t.deepEqual(Object.keys(versions), ['1'])
  }
  const sample = handed.filter((_, at) => at % 20 === 0)
  for (const escrow of sample) t.true(opensKey((await site.keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow))
})

test.serial('a leader that is killed while keys are fetched delays them by less than 10 s, and every one opens', async t => {
  const escrow = await newEscrow(site)
  await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  await throughDeaths(t, async () => {
    const { opened, request_ids } = await site.keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())
    if (!opensKey(opened, escrow) || request_ids.length !== 3) throw new Error('another key')
  })
})

test.serial('a node that is sealed is passed over; when all are sealed that is said at once, and after unsealing it goes on', async t => {
  const escrow = await newEscrow(site)
  const fetch = async (keystore: Keystore): Promise<boolean> => opensKey((await keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow)
  await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  const leader = await cluster.active()
  await leader.seal()
  t.true(await fetch(site.keystore))
  // One that asks the sealed node first.
  const addresses = [leader.address, ...connection.addresses.filter(address => address !== leader.address)]
  const other = createKeystore({ ...connection, addresses })
  t.true(await fetch(other))
  t.is((await other.state())[0]?.state, 'sealed')
  for (const node of cluster.nodes) if (node !== leader) await node.seal()
  await until(async () => (await other.state()).every(({ state }) => state === 'sealed'), { what: 'all to be sealed', timeout_ms: 60_000 })
  const begun_ms = performance.now()
  await t.throwsAsync(fetch(site.keystore), { code: 'KEYSTORE_SEALED' })
  await t.throwsAsync(fetch(other), { code: 'KEYSTORE_SEALED' })
  await t.throwsAsync(site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed), { code: 'KEYSTORE_SEALED' })
  t.true(performance.now() - begun_ms < 2_000)
  for (const node of cluster.nodes) await node.unseal()
  await cluster.active()
  await untilAllWell(other)
  t.true(await fetch(site.keystore))
  t.true(await fetch(other))
  other.close()
})

test.serial('a keystore that is sealed in the middle of fetches and escrows breaks them off by name, and loses and doubles nothing', async t => {
  const kept = await newEscrow(site)
  await site.keystore.escrow(TENANT, kept.slot, kept.kid, kept.sealed)
  const { public_key } = await site.keystore.makeSlot(TENANT, kept.slot)
  const handed: Escrow[] = []
  const doing = keepDoing(async () => {
    const escrow = sealTo(kept.slot, public_key)
    handed.push(escrow)
    await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
    if (!opensKey((await site.keystore.openOwn(TENANT, kept.slot, kept.kid, newFacts())).opened, kept)) throw new Error('another key')
  })
  await until(async () => doing.count() >= 20, { what: '20 acts', timeout_ms: 60_000 })
  // The others first, so that none of them takes the leader's place.
  const leader = await cluster.active()
  for (const node of [...cluster.nodes.filter(one => one !== leader), leader]) await node.seal()
  await until(async () => (await site.keystore.state()).every(({ state }) => state === 'sealed'), { what: 'all to be sealed', timeout_ms: 60_000 })
  const then = doing.count()
  await until(async () => doing.count() >= then + 2 * AT_ONCE, { what: 'acts that fail', timeout_ms: 60_000 })
  const { failed } = await doing.stop()
  t.true(failed.length > 0)
  for (const error of failed) t.regex((error as { code?: string }).code ?? String(error), /^KEYSTORE_(SEALED|LEADERLESS|UNREACHABLE|FAILED)$/)
  t.true(failed.some(error => (error as { code?: string }).code === 'KEYSTORE_SEALED'))
  for (const node of cluster.nodes) await node.unseal()
  await cluster.active()
  await untilAllWell(site.keystore)
  const session = openAdminSession(site.transport, (await cluster.active()).address, { token: cluster.rootToken })
  for (const { slot, kid, sealed } of handed) {
    await site.keystore.escrow(TENANT, slot, kid, sealed)
    const path = `${kvOf(TENANT)}/metadata/${slot}/${kid}`
    t.is(checked(Metadata, await session.read(path), path).data.current_version, 1)
  }
  t.true(opensKey((await site.keystore.openOwn(TENANT, kept.slot, kept.kid, newFacts())).opened, kept))
})

test.serial('with two of three nodes dead nothing is given out and it is said so within a bounded time; with one back all goes on', async t => {
  const escrow = await newEscrow(site)
  await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  const [first, second] = cluster.nodes
  await Promise.all([first?.kill(), second?.kill()])
  const begun_ms = performance.now()
  const error = await t.throwsAsync(site.keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()))
  t.regex((error as { code?: string }).code ?? '', /^KEYSTORE_(LEADERLESS|UNREACHABLE|FAILED)$/)
  t.true(performance.now() - begun_ms < 30_000)
  t.log(`${(error as { code?: string }).code} after ${Math.round(performance.now() - begun_ms)} ms`)
  await first?.start()
  await first?.unseal()
  await cluster.active()
  t.true(opensKey((await site.keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow))
})
