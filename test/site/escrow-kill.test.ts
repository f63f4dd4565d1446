// kill -9 of the authority at random moments of escrow and of a move to a new device: no key is lost, there is never a
// second one, and whatever broke off is done by simply doing it again.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore } from './keystore.ts'
import { startSite } from './site.ts'
import { randomOf } from './tree.ts'

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const BUDGET_MS = Number(process.env['KILL_MS'] ?? 40_000)
/** A pairing takes about so long. */
const PAIRING_MS = 1500

test(`kill -9 of the authority during escrow and migration loses no key and makes no second one (SEED=${SEED})`, async t => {
  const random = randomOf(SEED)
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-escrow-kill-'))
  const keystore = await startKeystore(folder)
  const site = await startSite({ folder: join(folder, 'site'), keystore: keystore.connection })
  const password = join(site.folder, 'password')
  const tree = join(folder, 'tree')
  mkdirSync(tree)
  writeFileSync(join(tree, 'letter'), 'what must not be lost')
  let kills = 0

  /** Pairs, and kills the authority on the way, once; then again until it is paired. */
  const pairThrough = async (user: string, name: string, ...parameters: string[]): Promise<string> => {
    const home = join(folder, name)
    for (let tries = 0; ; tries++) {
      const link = (await site.appliance('link', user)).split('\n').find(line => line.startsWith('holdfast://')) ?? ''
      const pairing = holdfast(['pair', link, '--home', home, '--password-file', password, ...parameters])
      if (tries === 0) {
        await Promise.race([pause(random.below(PAIRING_MS)), pairing])
        await site.kill('authority')
        await site.start()
        kills++
      }
      const ended = await pairing
      if (ended.code === 0) return home
      t.regex(ended.err, /^(UNREACHABLE|LINK_INVALID|KEYSTORE_NO_SLOT|KEYSTORE_AWAY|INTERNAL|DEVICE_UNKNOWN|DEVICE_DEAUTHORIZED): /m)
      if (tries > 20) throw new Error(ended.err)
    }
  }
  /** The key, once the device has it. */
  const keyOf = async (home: string): Promise<string> => {
    for (;;) {
      const ended = await site.agent(home, 'backup', tree)
      if (ended.code === 0) break
      t.regex(ended.err, /^(ESCROW_WAITING|KEYSTORE_AWAY|UNREACHABLE): /m)
      await pause(200)
    }
    const file = join(folder, `${Date.now()}.key`)
    await site.agentJson(home, 'key', 'export', '--to', file)
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter(line => line.startsWith('key '))
      .join('\n')
  }

  try {
    const end_ms = performance.now() + BUDGET_MS
    let round = 0
    for (; performance.now() < end_ms; round++) {
      const user = `user-${round}`
      await site.appliance('user', 'add', user, '--password-file', password)
      const first = await pairThrough(user, `${user}-1`)
      const key = await keyOf(first)
      // What is acknowledged arrives, whoever is killed meanwhile.
      for (;;) {
        const { escrow } = await site.agentJson<{ escrow: { safe_ms: number | null } | null }>(first, 'status')
        t.truthy(escrow)
        if (typeof escrow?.safe_ms === 'number') break
        await pause(100)
      }
      const { device } = await site.agentJson<{ device: string }>(first, 'status')
      // A take-over that was done, and whose answer was lost, has put the old device out: the archive goes on with the newest.
      const second = await pairThrough(user, `${user}-2`, '--take-over', device.slice(0, 8))
      // The old device is out, so there is a second key by now, behind the first.
      t.true((await keyOf(second)).startsWith(key), user)
      const target = join(folder, `${user}-back`)
      await site.agentJson(second, 'restore', '--to', target)
      t.deepEqual(compareFolders(tree, join(target, tree), () => false).differences, [])
    }
    await site.appliance('audit', 'verify')
    t.log(`${kills} kills, ${round} users`)
  } finally {
    await site.close()
    await keystore.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})
