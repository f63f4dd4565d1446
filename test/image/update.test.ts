// Updates of a whole machine in emulation, pushed by an administrator over the network as on a rack. Each test goes on with
// the machine of the one before.

import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomInt } from 'node:crypto'
import { constants, copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import type { Ended } from '../agent/cli/holdfast.ts'
import { type Machine, startMachine } from './machine.ts'
import { type BuiltRelease, patchedRelease } from './patched-release.ts'
import { administer, connect, POWER_CUTS, type SiteAnswer, setUp } from './set-up.ts'

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/holdfast-image')
const OUTPUT = process.env['HOLDFAST_TEST_IMAGE'] ?? join(CACHE, 'output')
const DISK_BYTES = 4 * 1024 ** 3
const STICK_BYTES = 512 * 1024 ** 2
/** For one start, on a machine that has other things to do. */
const START_MS = 15 * 60_000
const AGAIN_MS = 2_000

const BUILT: BuiltRelease = {
  version: 1,
  root: join(OUTPUT, 'holdfast_1.root'),
  verity: join(OUTPUT, 'holdfast_1.verity'),
  uki: join(OUTPUT, 'holdfast_1.efi'),
  pcrKey: join(CACHE, 'keys/pcr.key'),
  updateKey: join(CACHE, 'keys/update.key'),
}
/** Its authority does not start, and it has ten seconds to do its work. */
const BROKEN = [
  ['/appliance/authority/main.js', '/appliance/authority/mian.js'],
  ['--within-s 300', '--within-s 010'],
] as const

const folder = mkdtempSync(join(tmpdir(), 'holdfast-update-'))
const disk = join(folder, 'disk.raw')
let machine: Machine
let site: SiteAnswer
let push_ms = 0

type Shown = {
  readonly version: number
  readonly is_on_trial: boolean
  readonly waiting: number | null
  readonly failed: number | null
  readonly committed: number
}

const start = (): Promise<Machine> => startMachine({ disk, board: join(folder, 'board'), forward: [443, 7400], isForgetful: true })
const release = (version: number, patches: BuiltReleasePatches = []): Promise<string> =>
  patchedRelease(BUILT, join(folder, `release-${version}`), version, patches)
type BuiltReleasePatches = NonNullable<Parameters<typeof patchedRelease>[3]>

/** Asks until the answer is as wanted, through restarts. */
async function showing(isWanted: (shown: Shown) => boolean): Promise<Shown> {
  const end_ms = performance.now() + 5 * START_MS
  let last = ''
  while (performance.now() < end_ms) {
    const ended = await administer(folder, 'machine', 'do', 'update.show')
    last = ended.out + ended.err
    if (ended.code === 0) {
      const shown = JSON.parse(ended.out) as Shown
      if (isWanted(shown)) return shown
    }
    await pause(AGAIN_MS)
  }
  throw new Error(`not as wanted: ${last}; its serial line ends:\n${machine.serial.end}`)
}

const push = (bundle: string) => administer(folder, 'machine', 'update', bundle)
/** From a USB stick that is put in now. */
async function takeFromStick(bundle: string): Promise<Ended> {
  const image = join(folder, 'stick.raw')
  writeFileSync(image, '')
  truncateSync(image, STICK_BYTES)
  execFileSync('mkfs.vfat', ['-n', 'ANYTHING', image])
  execFileSync('mcopy', ['-i', image, bundle, '::/'])
  await machine.control('blockdev-add', { driver: 'raw', 'node-name': 'stick', 'read-only': true, file: { driver: 'file', filename: image } })
  await machine.control('device_add', { driver: 'usb-storage', id: 'stick', drive: 'stick', removable: true })
  for (;;) {
    const ended = await administer(folder, 'machine', 'do', 'update.from-usb')
    // It takes a moment until the machine has seen it.
    if (!/^UPDATE_NONE/m.test(ended.err)) return ended
    await pause(AGAIN_MS)
  }
}
const users = async (): Promise<string> => (await administer(folder, 'user', 'list')).out

test.before(async t => {
  t.timeout(2 * START_MS)
  copyFileSync(join(OUTPUT, 'disk.raw'), disk, constants.COPYFILE_FICLONE)
  truncateSync(disk, DISK_BYTES)
  machine = await start()
  site = await setUp(machine)
  await connect(machine, site, folder)
  const password = join(folder, 'password')
  writeFileSync(password, 'a password for tests\n')
  await administer(folder, 'user', 'add', 'ann', '--password-file', password)
})
test.afterEach.always(t => {
  if (!t.passed) t.log(machine?.serial.end)
})
test.after.always(async () => {
  await machine?.kill()
  rmSync(folder, { recursive: true, force: true })
})

test.serial('a release that is signed by somebody else, or not newer, is refused, and the machine goes on', async t => {
  t.timeout(START_MS)
  const key = join(folder, 'other.key')
  writeFileSync(key, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))
  t.regex((await push(await patchedRelease({ ...BUILT, updateKey: key }, join(folder, 'other'), 2))).err, /UPDATE_NOT_SIGNED/)
  t.regex((await push(await release(1))).err, /UPDATE_NOT_NEWER/)
  t.like(await showing(() => true), { version: 1, is_on_trial: false, waiting: null, failed: null })
})

test.serial('a machine goes from one release to the next, and keeps what it had', async t => {
  t.timeout(2 * START_MS)
  // The folder of it has only this one.
  const releases = dirname(await release(2))
  const begun_ms = performance.now()
  const pushed = await push(releases)
  push_ms = performance.now() - begun_ms
  t.is(pushed.code, 0, pushed.err)
  t.like(await showing(shown => shown.version === 2 && shown.committed === 2), { is_on_trial: false, failed: null })
  t.regex(await users(), /"ann"/)
})

test.serial('a power cut at a random moment of an update leaves a machine that comes up, and goes to that release then', async t => {
  const bundle = await release(3)
  let version = 2
  for (let cut = 0; cut < POWER_CUTS && version === 2; cut++) {
    t.timeout(3 * START_MS)
    const after_ms = randomInt(Math.ceil(push_ms))
    t.log(`cut after ${after_ms} of about ${Math.ceil(push_ms)} ms`)
    const pushing = push(bundle)
    await pause(after_ms)
    await machine.kill()
    await pushing
    machine = await start()
    await machine.serial.waitFor(/^State: ready$/m, { timeout_ms: START_MS })
    await connect(machine, site, folder)
    version = (await showing(shown => !shown.is_on_trial)).version
    t.true(version === 2 || version === 3)
    t.regex(await users(), /"ann"/)
  }
  if (version === 2) t.is((await push(bundle)).code, 0)
  t.like(await showing(shown => shown.version === 3 && shown.committed === 3), { is_on_trial: false, failed: null })
  t.regex(await users(), /"ann"/)
})

test.serial('a release whose authority does not start comes from a stick, and has three tries; then the machine is back by itself', async t => {
  t.timeout(6 * START_MS)
  const taken = await takeFromStick(await release(4, BROKEN))
  t.is(taken.code, 0, taken.err)
  t.like(await showing(shown => shown.failed === 4), { version: 3, is_on_trial: false, committed: 3 })
  t.regex(await users(), /"ann"/)
})
