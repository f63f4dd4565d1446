// A user key is planted nowhere but where it belongs: after escrow, a new device and a restore for somebody else it is
// searched for in the files, the memory, the arguments and the environment of everything on the appliance's side.
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { decodeKeyRing } from '#format/keys.ts'
import { holdfast } from '../agent/cli/holdfast.ts'
import { coreOf, coresAreFiles, countInMemory } from '../process-memory.ts'
import { startKeystore } from './keystore.ts'
import { startSite } from './site.ts'

test('after escrow, a new device and a restore for somebody else no file, memory, argument or environment of the appliance or the keystore holds a user key', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-secrets-'))
  const approverPassword = join(folder, 'approver-password')
  writeFileSync(approverPassword, 'a password at the keystore\n', { mode: 0o600 })
  const keystore = await startKeystore(folder, { names: ['otto'], passwordFile: approverPassword })
  const site = await startSite({ folder: join(folder, 'site'), keystore: keystore.connection })
  t.teardown(async () => {
    await site.close()
    await keystore.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  const password = join(site.folder, 'password')
  const tree = join(folder, 'tree')
  mkdirSync(tree)
  writeFileSync(join(tree, 'letter'), 'what must not be lost')
  const home = await site.pair('ann-1')
  await site.agentJson(home, 'backup', tree)
  while ((await site.agentJson<{ escrow: { safe_ms: number | null } | null }>(home, 'status')).escrow?.safe_ms === null) await pause(100)
  await site.pair('ann-2')
  await site.appliance('administrator', 'add', 'iris', '--password-file', password)
  const { device } = await site.agentJson<{ device: string }>(home, 'status')
  const signIn = ['--as', 'iris', '--password-file', password]
  const asked = JSON.parse(await site.appliance('restore', 'ask', 'ann', '--device', device, ...signIn, '--reason', 'a test', '--json')) as Record<
    string,
    string
  >
  const released = await holdfast(
    ['approve', asked['request'] ?? '', '--connection', keystore.connection, '--as', 'otto', '--password-file', approverPassword],
    { launcher: 'holdfast-keystore' },
  )
  t.is(released.code, 0, released.err)
  await site.appliance('restore', 'fetch', asked['restore'] ?? '', ...signIn, '--to', join(folder, 'ann.tar'))

  const file = join(folder, 'ann.key')
  await site.agentJson(home, 'key', 'export', '--to', file)
  const hex = (/^key 1 ([0-9a-f ]+) check/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '').replaceAll(' ', '')
  t.is(hex.length, 64)
  const key = Buffer.from(hex, 'hex')
  const base64 = key.toString('base64').slice(2, 40)
  const wanted = { bytes: key, hex: Buffer.from(hex), base64: Buffer.from(base64), wide: Buffer.from(base64, 'utf16le') }
  const nothing = { bytes: 0, hex: 0, base64: 0, wide: 0 }

  const pids = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(folder)
      } catch {
        return false
      }
    })
  // Launcher, authority, storage node; the keystore's command.
  t.true(pids.length >= 4, `${pids.length}`)
  for (const pid of pids) {
    const told = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
    t.deepEqual(countInMemory(pid, wanted), nothing, told)
    for (const name of ['cmdline', 'environ']) for (const one of Object.values(wanted)) t.is(readFileSync(`/proc/${pid}/${name}`).indexOf(one), -1)
  }
  for (const root of [site.home, join(folder, 'keystore')]) {
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const bytes = readFileSync(join(entry.parentPath, entry.name))
      for (const [form, one] of Object.entries(wanted)) t.is(bytes.indexOf(one), -1, `${form} in ${entry.name}`)
    }
  }
  // The search finds what is there.
  t.is(readFileSync(join(folder, 'ann.key')).toString().replaceAll(' ', '').indexOf(hex) >= 0, true)
})

;(coresAreFiles ? test : test.skip)(
  'an agent that backs up leaves no core dump, and one that is made nevertheless does not hold the user key (where cores are files)',
  async t => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-core-'))
    const site = await startSite({ folder: join(folder, 'site') })
    t.teardown(async () => {
      await site.close()
      rmSync(folder, { recursive: true, force: true })
    })
    const tree = join(folder, 'tree')
    mkdirSync(tree)
    for (let at = 0; at < 16; at++) writeFileSync(join(tree, `file-${at}`), randomBytes(32 * 1024 * 1024))
    const home = await site.pair('ann-1')
    const { archive } = await site.agentJson<{ archive: string }>(home, 'status')
    const storage = await openAuthorizedStorage(home)
    const encoded = await storage.get('user-key-ring')
    await storage.close()
    if (!encoded) throw new Error('no key')
    const ring = decodeKeyRing(encoded)
    // Not the keys of the archive, of which ciphers and hashes make copies while they work: SECURITY.md.
    const user = ring.keyOf(1)
    if (!user) throw new Error('no key of epoch 1')

    let child: ChildProcess | undefined
    // Of a test that failed: stopped, it would be waited for.
    t.teardown(() => child?.kill('SIGKILL'))
    const ended = holdfast(['backup', tree, '--home', home, '--json'], { cwd: folder, onStart: it => (child = it) })
    const stored = join(site.home, 'storage/archives', archive)
    const storedBytes = (): number => (existsSync(stored) ? readdirSync(stored) : []).reduce((sum, name) => sum + statSync(join(stored, name)).size, 0)
    while (storedBytes() < 64 * 1024 * 1024) await pause(5)
    if (!child) throw new Error('it did not start')
    child.kill('SIGSTOP')
    t.deepEqual(countInMemory(child.pid ?? 0, { user }), { user: 1 })
    t.regex(readFileSync(`/proc/${child.pid}/limits`, 'latin1'), /^Max core file size +0 /m)
    const memory = await coreOf(child, folder)
    t.is((await ended).signal, 'SIGABRT')
    t.true(memory.includes(archive))
    t.false(memory.includes(user.subarray(-16)))
  },
)
