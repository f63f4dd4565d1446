// What goes wrong in a site, and what must not go wrong with it.
import { type ChildProcess, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { RESERVE_BYTES } from '#archive/store.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { HOUR_MS, shifted } from './clock.ts'
import { makeSite, PASSWORD, startSite, type TestSite } from './site.ts'
import { makeTree } from './tree.ts'

const nothing = (): boolean => false

/** A fault: one line that begins with its code, and its exit code. */
function isFault(ended: Ended, code: string, exit: number): boolean {
  return ended.code === exit && ended.err.split('\n').some(line => line.startsWith(`${code}: `))
}

const shared = await startSite()
test.after.always(() => shared.close())

/** Runs `first`, holds it where it has stored something but not all, and runs `second` meanwhile. */
async function during(site: TestSite, first: readonly string[], second: () => Promise<Ended>): Promise<[Ended, Ended]> {
  const archives = join(site.home, 'storage/archives')
  const before_bytes = storedIn(archives)
  let child: ChildProcess | undefined
  const running = holdfast(first, { onStart: started => void (child = started) })
  while (storedIn(archives) < before_bytes + 1_000_000) await new Promise(resolve => setImmediate(resolve))
  child?.kill('SIGSTOP')
  const ended = await second()
  child?.kill('SIGCONT')
  return [await running, ended]
}

test.serial('of two agents with one home the second is refused, and the first is not disturbed', async t => {
  const site = shared
  const home = await site.pair('one')
  const tree = join(site.folder, 'tree one')
  makeTree(tree, 2, 60_000_000)
  const [first, second] = await during(site, ['backup', tree, '--home', home], () => site.agent(home, 'backup', tree))
  t.is(first.code, 0, first.err)
  t.true(isFault(second, 'HOME_BUSY', 1), second.err)
})

test.serial('of two backups of one archive at once the second is refused, and the first is not disturbed', async t => {
  const site = shared
  const home = await site.pair('two')
  const copy = join(site.folder, 'a copy of home two')
  cpSync(home, copy, { recursive: true })
  const tree = join(site.folder, 'tree two')
  makeTree(tree, 3, 60_000_000)
  const [first, second] = await during(site, ['backup', tree, '--home', home], () => site.agent(copy, 'backup', tree))
  t.is(first.code, 0, first.err)
  t.true(isFault(second, 'SESSION_BUSY', 1), second.err)
  await site.agentJson(home, 'verify', '--read-data')
})

test.serial('a device that is deauthorized during a backup is out at once, and its keys are gone', async t => {
  const site = shared
  const home = await site.pair('three')
  const tree = join(site.folder, 'tree three')
  makeTree(tree, 4, 600_000_000)
  const { device } = await site.agentJson<{ device: string }>(home, 'status')
  const archives = join(site.home, 'storage/archives')
  const before_bytes = storedIn(archives)
  const backup = site.agent(home, 'backup', tree)
  while (storedIn(archives) < before_bytes + 5_000_000) await new Promise(resolve => setImmediate(resolve))
  await site.appliance('device', 'deauthorize', device)
  const ended = await backup
  t.true(isFault(ended, 'DEVICE_DEAUTHORIZED', 4), ended.err)
  t.true(isFault(await site.agent(home, 'status'), 'NOT_PAIRED', 1) || (await site.agent(home, 'status', '--json')).out.includes('"paired":false'))
  t.false(readdirSync(home).includes('authorized'))
})

test.serial("another user's device cannot read an archive, nor one without a certificate", async t => {
  const site = shared
  const home = await site.pair('four')
  const { archive } = await site.agentJson<{ archive: string }>(home, 'status')
  const answer = spawnSync('curl', ['-sk', '-w', '%{http_code}', `${site.storage}/v1/archives/${archive}/snapshots`], { encoding: 'utf8' })
  // Without curl there is nothing to see here; the storage node's own tests go through every way in.
  if (answer.error === undefined) t.regex(answer.stdout, /(401|000)$/)
  t.is((await site.agent(home, 'backup', '/etc/hostname')).code, 0)
})

test.serial('an appliance that is not running is UNREACHABLE, and works again without a word once it runs', async t => {
  const site = shared
  const home = await site.pair('five')
  const tree = join(site.folder, 'tree five')
  makeTree(tree, 5, 1_000_000)
  await site.stop()
  const ended = await site.agent(home, 'backup', tree)
  t.true(isFault(ended, 'UNREACHABLE', 5), ended.err)
  const status = await site.agent(home, 'status', '--json')
  t.like(JSON.parse(status.out), { paired: true, authorized: null, error: 'UNREACHABLE' })
  t.is(status.code, 5)
  await site.start()
  t.is((await site.agent(home, 'backup')).code, 0)
})

const YEARS_MS = 10 * 365.25 * 24 * 3_600_000
for (const [title, by_ms] of [
  ['ten years fast', YEARS_MS],
  ['ten years slow', -YEARS_MS - HOUR_MS],
] as const) {
  test.serial(`an appliance whose clock was ${title} when it was set up is CLOCK_WRONG, with both clocks`, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-clock-'))
    const site = await makeSite({ folder, initEnvironment: shifted(folder, by_ms) })
    try {
      await site.start(shifted(folder, by_ms))
      await site.appliance('user', 'add', 'ann', '--password-file', join(folder, 'password'))
      const ended = await holdfast(['pair', await site.link(), '--home', join(folder, 'ann'), '--password-file', '-'], { input: `${PASSWORD}\n` })
      t.true(isFault(ended, 'CLOCK_WRONG', 1), ended.err)
      t.regex(ended.err, /this device's clock says 20\d\d-[^,]+, the appliance's \d{4}-/)
    } finally {
      await site.close()
    }
  })
}

test.serial('an appliance whose clock is an hour off works', async t => {
  for (const by_ms of [HOUR_MS, -HOUR_MS]) {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-clock-'))
    const site = await makeSite({ folder })
    try {
      await site.start(shifted(folder, by_ms))
      await site.appliance('user', 'add', 'ann', '--password-file', join(folder, 'password'))
      const home = await site.pair('ann')
      t.is((await site.agent(home, 'backup', '/etc/hostname')).code, 0, `${by_ms}`)
    } finally {
      await site.close()
    }
  }
})

test.serial('a link that is a day old is expired', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-clock-'))
  const site = await startSite({ folder })
  try {
    const link = await site.link()
    await site.stop()
    await site.start(shifted(folder, 25 * HOUR_MS))
    const ended = await holdfast(['pair', link, '--home', join(folder, 'late'), '--password-file', '-'], { input: `${PASSWORD}\n` })
    t.true(isFault(ended, 'LINK_EXPIRED', 4), ended.err)
  } finally {
    await site.close()
  }
})

/** A volume of its own of so many MiB; undefined where that takes rights that we do not have. */
function makeVolume(mebibytes: number): { folder: string; remove: () => void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-volume-'))
  const mounted = process.getuid?.() === 0 && spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder]).status === 0
  const remove = (): void => {
    if (mounted) spawnSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true, force: true })
  }
  if (mounted) return { folder, remove }
  remove()
  return undefined
}

test.serial('when the volume of the storage node is full, backups say so and restores still work (where a volume can be mounted)', async t => {
  // What is kept free for the storage node's own needs, and 16 MiB for archives.
  const volume = makeVolume(RESERVE_BYTES / 1024 / 1024 + 16)
  if (!volume) return void t.pass()
  const site = await startSite({ folder: join(volume.folder, 'site') })
  const elsewhere = mkdtempSync(join(tmpdir(), 'holdfast-elsewhere-'))
  try {
    const [small, large] = [join(elsewhere, 'small'), join(elsewhere, 'large')]
    makeTree(small, 6, 2_000_000)
    makeTree(large, 7, 150_000_000)
    const home = join(elsewhere, 'ann')
    t.is((await holdfast(['pair', await site.link(), '--home', home, '--password-file', '-'], { input: `${PASSWORD}\n` })).code, 0)
    const { snapshot } = await site.agentJson<{ snapshot: string }>(home, 'backup', small)
    const full = await site.agent(home, 'backup', large)
    t.true(isFault(full, 'ARCHIVE_FULL', 1), full.err)
    await site.agentJson(home, 'restore', '--to', join(elsewhere, 'back'), '--at', snapshot)
    t.deepEqual(compareFolders(small, join(elsewhere, 'back', small), nothing).differences, [])
    await site.stop()
    await site.start()
    await site.agentJson(home, 'verify', '--read-data')
  } finally {
    await site.close()
    volume.remove()
    rmSync(elsewhere, { recursive: true, force: true })
  }
})

test.serial('when the target of a restore is full, it says so, and goes on with --resume once there is room (where a volume can be mounted)', async t => {
  const site = shared
  const volume = makeVolume(24)
  if (!volume) return void t.pass()
  try {
    const home = await site.pair('six')
    const tree = join(site.folder, 'tree six')
    makeTree(tree, 8, 40_000_000)
    await site.agentJson(home, 'backup', tree)
    const target = join(volume.folder, 'back')
    const full = await site.agent(home, 'restore', '--to', target)
    t.true(isFault(full, 'TARGET_FULL', 1), full.err)
    spawnSync('mount', ['-o', 'remount,size=200m', volume.folder])
    await site.agentJson(home, 'restore', '--to', target, '--resume')
    t.deepEqual(compareFolders(tree, join(target, tree), nothing).differences, [])
  } finally {
    volume.remove()
  }
})

test.serial(
  'when the volume of an agent is full, its backup ends with one line, and works again once there is room (where a volume can be mounted)',
  async t => {
    const site = shared
    const volume = makeVolume(4)
    if (!volume) return void t.pass()
    try {
      const home = join(volume.folder, 'ann')
      t.is((await holdfast(['pair', await site.link(), '--home', home, '--password-file', '-'], { input: `${PASSWORD}\n` })).code, 0)
      const tree = join(site.folder, 'tree seven')
      makeTree(tree, 9, 5_000_000)
      const filler = join(volume.folder, 'filler')
      spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096'])
      const full = await site.agent(home, 'backup', tree)
      t.is(full.code, 1, full.err)
      t.regex(full.err, /^(DISK_FULL|FILE_UNUSABLE|CACHE_[A-Z]+): [^\n]*\n$/)
      rmSync(filler)
      spawnSync('mount', ['-o', 'remount,size=64m', volume.folder])
      t.is((await site.agent(home, 'backup', tree)).code, 0)
    } finally {
      volume.remove()
    }
  },
)

/** Bytes in files below. */
function storedIn(folder: string): number {
  try {
    return Number(/^\d+/.exec(spawnSync('du', ['-sb', folder], { encoding: 'utf8' }).stdout)?.[0] ?? 0)
  } catch {
    return 0
  }
}
