// Set-up is killed at any moment, as a power cut would, and then done again: there is a whole site, or none.
import { randomInt } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { openAuthority } from '#authority/authority.ts'
import { hasProgram, needing } from '../programs.ts'
import { AUTHORITY_USER, askJson, type Machine, makeMachine, RECOVERY_KEY, SETTINGS, STORAGE_USER, until } from './machine.ts'

const ROUNDS = 4

/** Sets up as far as it gets; true if it was said to be finished. */
async function setUp(machine: Machine): Promise<boolean> {
  const server = await machine.start()
  if (!server) return machine.isSite()
  const begun = await askJson(server, '/api/begin', { code: machine.shown().code, settings: SETTINGS })
  const finished = await askJson(server, '/api/finish', { session: begun.value['session'], recovery_key_end: RECOVERY_KEY.split('-').at(-1) })
  if (finished.status !== 200) throw new Error(finished.text)
  await server.ended
  return true
}

async function cut(machine: Machine, after_ms: number): Promise<boolean> {
  const server = await machine.start()
  if (!server) return machine.isSite()
  const done = (async () => {
    const begun = await askJson(server, '/api/begin', { code: machine.shown().code, settings: SETTINGS })
    const finished = await askJson(server, '/api/finish', { session: begun.value['session'], recovery_key_end: RECOVERY_KEY.split('-').at(-1) })
    return finished.status === 200
  })().catch(() => false)
  await Promise.race([done, wait(after_ms)])
  server.process.kill('SIGKILL')
  for (const step of machine.steps) step.kill('SIGKILL')
  await server.ended
  const wasSaid = await done
  await until(() => machine.steps.size === 0)
  return wasSaid
}

async function assertWhole(machine: Machine, fail: (why: string) => void): Promise<void> {
  const { home } = machine.places
  for (const [name, user] of [
    ['authority', AUTHORITY_USER],
    ['storage', STORAGE_USER],
  ] as const)
    for (const path of ['', ...readdirSync(join(home, name), { recursive: true, encoding: 'utf8' })])
      if (statSync(join(home, name, path)).uid !== user) fail(`${name}/${path} belongs to ${statSync(join(home, name, path)).uid}`)
  for (const file of ['site.json', 'network/network.json', 'network/10-holdfast.network', 'network/time.json', 'network/keystore.nft'])
    if (!existsSync(join(home, file))) fail(`no ${file}`)
  // CA, tickets and storage node are of one draft, and its authority opens.
  const same = (a: string, b: string): boolean => readFileSync(join(home, a), 'utf8') === readFileSync(join(home, b), 'utf8')
  if (!same('authority/ca.pem', 'storage/ca.pem')) fail('two drafts are mixed')
  const authority = await openAuthority(home, { version: 'test' })
  await authority.close()
}

test(`set-up killed at any of ${ROUNDS} moments is finished or begun anew, and never half a site`, async t => {
  let whole_ms = 0
  for (let round = 0; round <= ROUNDS; round++) {
    const machine = await makeMachine()
    const begun_ms = performance.now()
    // The first one says how long it takes.
    const after_ms = round === 0 ? 60_000 : randomInt(whole_ms)
    const wasSaid = await cut(machine, after_ms)
    if (round === 0) whole_ms = Math.round(performance.now() - begun_ms)
    else t.log(`cut after ${after_ms} of ${whole_ms} ms`)
    if (wasSaid) t.true(machine.isSite(), 'what was said to be finished is there')
    if (!machine.isSite()) await setUp(machine)
    t.true(machine.isSite())
    await assertWhole(machine, why => t.fail(`${why} (cut after ${after_ms} ms)`))
    await machine.remove()
  }
})

const BEFORE = [
  ...[1, 2, 4, 6, 9, 12].map(nth => `rename:signal=KILL:when=${nth}`),
  ...[1, 9, 20, 30].map(nth => `fsync:signal=KILL:when=${nth}`),
  ...[1, 5, 20].map(nth => `lchown:signal=KILL:when=${nth}`),
  // A disk that fails at that moment, instead of the power.
  ...[2, 6, 12].map(nth => `rename:error=EIO:when=${nth}`),
  'fsync:error=EIO:when=12',
]
/** The first file that is removed once config.json is in its place: the recovery key. */
const AFTER = 'unlink:signal=KILL:when=1'
const title = 'the finishing step ended at any of its calls leaves a whole site or none, and the next set-up makes one'

;(hasProgram('strace') ? test : test.skip)(needing(title, 'strace'), async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await machine.start()
  if (!server) return t.fail('no server')
  const finish = async () => {
    const begun = await askJson(server, '/api/begin', { code: machine.shown().code, settings: SETTINGS })
    return askJson(server, '/api/finish', { session: begun.value['session'], recovery_key_end: RECOVERY_KEY.split('-').at(-1) })
  }
  // Each try finds what the one before it left.
  for (const injected of BEFORE) {
    machine.inject(injected)
    t.is((await finish()).value['code'], 'FINISH_FAILED', injected)
    t.false(machine.isSite(), injected)
  }
  for (const left of ['taken-draft', 'authority', 'storage']) rmSync(join(machine.places.home, left), { recursive: true, force: true })
  machine.inject(AFTER)
  t.is((await finish()).status, 200, 'a site that is there counts, whoever heard of it')
  await assertWhole(machine, t.fail)
})
