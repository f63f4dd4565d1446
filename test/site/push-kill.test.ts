// kill -9 of the authority, and now and then of the target's agent, at random moments of a pushed restore: it is done, or says
// plainly that it has to be asked for again, and is never half; no key is given out that is not on record.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { RESTORE_PATHS, type ShownRestore } from '#protocol/restore-api.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { namesIn, type Pushing, startPushing } from './pushing.ts'
import { randomOf } from './tree.ts'

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const BUDGET_MS = Number(process.env['KILL_MS'] ?? 40_000)
/** From asking to the end it takes about so long. */
const RESTORE_MS = 6_000

test(`kill -9 of the authority and of the agent during a pushed restore leaves nothing half done or unrecorded (SEED=${SEED})`, async t => {
  const random = randomOf(SEED)
  const pushing = await startPushing({ isLarge: true })
  const { site, tree, folder, ben } = pushing
  const into = join(folder, 'received')
  let agent = pushing.receive(ben, into)
  const asked: string[] = []
  let [rounds, kills, agentKills] = [0, 0, 0]
  try {
    for (const end_ms = performance.now() + BUDGET_MS; performance.now() < end_ms; rounds++) {
      const name = `round-${rounds}`
      const killing = (async () => {
        await pause(random.below(RESTORE_MS))
        await site.kill('authority')
        kills++
        if (random.below(3) === 0) {
          agent.child.kill('SIGKILL')
          await agent.ended
          agentKills++
          agent = pushing.receive(ben, into)
        }
        await site.start()
      })()
      asked.push(...(await pushThrough(pushing, name)))
      await killing
      t.deepEqual(compareFolders(tree, join(into, name, tree), () => false).differences, [])
      // Nothing that an interrupted run left, either.
      t.deepEqual(namesIn(join(into, name, tree)), namesIn(tree))
      rmSync(join(into, name), { recursive: true })
    }
    const states: string[] = []
    for (const restore of asked) states.push((await pushing.show(restore)).state)
    t.is(states.filter(state => state === 'done').length, rounds)
    t.deepEqual(
      states.filter(state => !['done', 'failed', 'ended'].includes(state)),
      [],
    )
    const acts = pushing.acts()
    for (const [at, { act, facts }] of acts.entries()) {
      if (act !== 'push.key') continue
      const opening = acts.findIndex(one => one.act === 'restore.open' && one.facts['restore'] === facts['restore'])
      t.true(opening >= 0 && opening < at)
      t.is(acts[opening]?.facts['approver'], 'otto')
    }
    await site.appliance('audit', 'verify')
    t.log(`${rounds} restores, ${kills} kills of the authority, ${agentKills} of the agent, ${asked.length} asked for`)
  } finally {
    agent.child.kill('SIGTERM')
    await agent.ended
    await pushing.close()
  }
})

/** Asks, and has it released, until it is done. @returns what it took */
async function pushThrough(pushing: Pushing, name: string): Promise<string[]> {
  const asked: string[] = []
  for (;;) {
    const to = { to_device: pushing.ids.ben, folder: name, on_conflict: 'rename', is_resume: true }
    const one = await pushing.ask(RESTORE_PATHS.push, to).catch(() => undefined)
    if (!one) {
      await pause(200)
      continue
    }
    const { restore, request } = one
    asked.push(restore)
    await pushing.release(request)
    if ((await ended(pushing, restore)).state === 'done') return asked
  }
}

async function ended(pushing: Pushing, restore: string): Promise<ShownRestore> {
  for (;;) {
    const shown = await pushing.show(restore).catch(() => undefined)
    if (shown && shown.state !== 'asked' && shown.state !== 'opened') return shown
    await pause(200)
  }
}
