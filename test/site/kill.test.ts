// kill -9 at random moments, again and again: every later run finishes, and nothing that was acknowledged is lost.
import type { ChildProcess } from 'node:child_process'
import { appendFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { holdfast } from '../agent/cli/holdfast.ts'
import { startSite } from './site.ts'
import { makeTree, randomOf } from './tree.ts'

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const BUDGET_MS = Number(process.env['KILL_MS'] ?? 45_000)
const nothing = (): boolean => false

test(`kill -9 of agent, storage node or authority during backup and restore loses nothing that was acknowledged (SEED=${SEED})`, async t => {
  const random = randomOf(SEED)
  const site = await startSite()
  const end_ms = performance.now() + BUDGET_MS
  let kills = 0
  try {
    const home = await site.pair('ann')
    const tree = join(site.folder, 'tree')
    makeTree(tree, SEED, 25_000_000)
    const committed: string[] = []
    let slowest_ms = 1500

    /** Runs a command, kills somebody on the way (or is just too late), and says whether the command ended well. */
    const killDuring = async (parameters: string[]): Promise<{ isDone: boolean; out: string; err: string }> => {
      const victim = (['agent', 'storage', 'authority'] as const)[random.below(3)] ?? 'agent'
      let agent: ChildProcess | undefined
      const begin_ms = performance.now()
      const running = holdfast([...parameters, '--json', '--home', home], { onStart: child => void (agent = child) })
      const timer = new Promise<void>(resolve => setTimeout(resolve, random.below(Math.ceil(slowest_ms))))
      await Promise.race([timer, running])
      if (victim === 'agent') agent?.kill('SIGKILL')
      else {
        await site.kill(victim)
        await site.start()
      }
      kills++
      const ended = await running
      if (ended.code === 0) slowest_ms = Math.max(500, performance.now() - begin_ms)
      // A server that is gone for a moment may be survived, or named; anything else would be a mistake.
      t.true(
        ended.signal === 'SIGKILL' || ended.code === 0 || /^(UNREACHABLE|SESSION_UNKNOWN|SESSION_BUSY|OVERLOADED|RECORD_CUT|TICKET_INVALID): /m.test(ended.err),
        `${victim}: ${ended.code} ${ended.err}`,
      )
      return { isDone: ended.code === 0, out: ended.out, err: ended.err }
    }
    const note = (out: string): void => void committed.push((JSON.parse(out) as { snapshot: string }).snapshot)

    for (let round = 0; performance.now() < end_ms; round++) {
      makeTree(join(tree, `round ${round}`), SEED + round, 6_000_000)
      appendFileSync(join(tree, 'odd/empty file'), `${round}`)
      for (let tries = 0; ; tries++) {
        const backup =
          tries < 3 ? await killDuring(['backup', tree]) : { isDone: true, out: JSON.stringify(await site.agentJson(home, 'backup', tree)), err: '' }
        if (!backup.isDone) continue
        note(backup.out)
        break
      }
      const target = join(site.folder, `back-${round}`)
      const at = committed.at(-1) ?? ''
      for (let tries = 0; ; tries++) {
        const parameters = ['restore', '--to', target, '--at', at, ...(tries > 0 ? ['--resume'] : [])]
        if (tries < 2 ? (await killDuring(parameters)).isDone : (await site.agentJson(home, ...parameters)) !== undefined) break
      }
      t.deepEqual(compareFolders(tree, join(target, tree), nothing).differences, [], `round ${round}`)
      rmSync(target, { recursive: true })
    }
    const { snapshots } = await site.agentJson<{ snapshots: { snapshot: string }[] }>(home, 'snapshots')
    for (const snapshot of committed)
      t.true(
        snapshots.some(row => row.snapshot === snapshot),
        snapshot,
      )
    await site.agentJson(home, 'verify', '--read-data')
    t.log(`${kills} kills, ${committed.length} snapshots`)
  } finally {
    await site.close()
  }
})
