// kill -9 of the authority at random moments of a restore that is fetched: it is asked for again, and the download goes on
// with the bytes that are there; no key is given out that is not on record.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { RESTORE_PATHS } from '#protocol/restore-api.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { startPushing } from './pushing.ts'
import { randomOf } from './tree.ts'

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const BUDGET_MS = Number(process.env['KILL_MS'] ?? 40_000)
const PASSING =
  /^(APPLIANCE_UNREACHABLE|UNREACHABLE|SITE_BUSY|INTERNAL|FILE_UNUSABLE|KEYSTORE_AWAY|RESTORE_UNKNOWN|RESTORE_BROKEN_OFF|RESTORE_ABORTED|RESTORE_INCOMPLETE): /m

test(`kill -9 of the authority during a fetched restore leaves nothing half done or unrecorded (SEED=${SEED})`, async t => {
  const random = randomOf(SEED)
  const site = await startPushing({ isLarge: true })
  const signIn = ['--as', 'iris', '--password-file', site.password, '--json']
  const { snapshots } = await site.site.agentJson<{ snapshots: { snapshot: string }[] }>(site.ann, 'snapshots')
  const at = snapshots.at(-1)?.snapshot ?? ''
  const file = join(site.folder, 'ann.tar')
  const ids: string[] = []
  const whole = new Set<string>()
  /** From asking to the end, on this machine: the first one is left alone. */
  let restore_ms = 0
  let [rounds, kills, resumed] = [0, 0, 0]

  const fetchThrough = async (): Promise<void> => {
    for (;;) {
      const asked = await site.ask(RESTORE_PATHS.ask, { snapshot: at, format: 'tar' }).catch(() => undefined)
      if (!asked) {
        await pause(200)
        continue
      }
      const { restore, request } = asked
      ids.push(restore)
      await site.release(request)
      for (;;) {
        const { code, out, err } = await site.appliance('restore', 'fetch', restore, '--to', file, '--resume', ...signIn)
        if (code === 0) {
          whole.add(restore)
          if ((JSON.parse(out) as { from_bytes: number }).from_bytes > 0) resumed++
          return
        }
        t.regex(err, PASSING)
        if (/^RESTORE_UNKNOWN: /m.test(err)) break
        await pause(200)
      }
    }
  }
  try {
    for (const end_ms = performance.now() + BUDGET_MS; performance.now() < end_ms; rounds++) {
      const begun_ms = performance.now()
      const killing = (async () => {
        if (restore_ms === 0) return
        await pause(random.below(restore_ms))
        await site.site.kill('authority')
        kills++
        await site.site.start()
      })()
      await fetchThrough()
      if (restore_ms === 0) restore_ms = Math.ceil(performance.now() - begun_ms)
      await killing
      const target = join(site.folder, 'unpacked')
      mkdirSync(target)
      execFileSync('tar', ['-xpf', file, '-C', target])
      t.deepEqual(compareFolders(site.tree, join(target, site.tree), () => false).differences, [])
      for (const path of [target, file]) rmSync(path, { recursive: true })
    }
    t.is(whole.size, rounds)
    let done = 0
    for (const restore of ids) {
      const { state, why } = await site.show(restore)
      if (state === 'done') done++
      // Also of one that came whole, if the kill fell between its last byte and the record of its end.
      else t.deepEqual([state, why], ['ended', 'the authority was restarted: ask again'])
      if (state === 'done') t.true(whole.has(restore))
    }
    t.true(done > 0)
    const acts = site.acts()
    for (const [index, { act, facts }] of acts.entries()) {
      if (act !== 'restore.fetch') continue
      const opening = acts.findIndex(one => one.act === 'restore.open' && one.facts['restore'] === facts['restore'])
      t.true(opening >= 0 && opening < index)
      t.is(acts[opening]?.facts['approver'], 'otto')
    }
    await site.site.appliance('audit', 'verify')
    t.log(`${rounds} restores, ${kills} kills of the authority, ${ids.length} asked for, ${resumed} gone on with`)
  } finally {
    await site.close()
  }
})
