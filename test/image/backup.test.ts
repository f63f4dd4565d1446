// A machine at work: with a real keystore on this machine, an agent that backs up and restores through its ports, and the power
// cut in the middle, in front of a disk that forgets what was not flushed. What was acknowledged is there.
import { randomInt } from 'node:crypto'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { decrypt, makeIdentity } from '#keystore-operate/age.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore } from '../site/keystore.ts'
import { makeTree } from '../site/tree.ts'
import { HOST_ADDRESS, type Machine, startMachine } from './machine.ts'
import { administer, connect, POWER_CUTS, setUp } from './set-up.ts'

/** The variant with a shell. */
const IMAGE = process.env['HOLDFAST_TEST_IMAGE'] ?? join(import.meta.dirname, '../../node_modules/.cache/holdfast-image/output-test/disk.raw')
const MIB = 1024 * 1024
const MINUTES = 60_000
const PASSWORD = 'a password for tests'
/** Agents reach the machine at an address of this machine that no other test uses. */
const ADDRESS = `127.79.${process.pid % 250}.7`
/** Of all our services together, idle. */
const IDLE_MB_MAX = 350

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-at-work-'))
const disk = join(scratch, 'disk.raw')
const files = join(scratch, 'files')
const keystore = await startKeystore(scratch, undefined, HOST_ADDRESS)
let machine: Machine

test.before(() => {
  copyFileSync(IMAGE, disk)
  truncateSync(disk, 8 * 1024 * MIB)
})
test.after.always(async () => {
  await machine?.kill()
  await keystore.stop()
  rmSync(scratch, { recursive: true, force: true })
})
test.afterEach.always(t => {
  if (!t.passed) t.log(machine?.serial.end)
})

async function powerOn(): Promise<void> {
  machine = await startMachine({ disk, board: join(scratch, 'board'), forward: [443, 7400], isForgetful: true })
  for (const port of [7400, 7401]) await machine.control('human-monitor-command', { 'command-line': `hostfwd_add tcp:${ADDRESS}:${port}-:${port}` })
}
const checked = (ended: Ended): string => {
  if (ended.code !== 0) throw new Error(`ended with ${ended.code}: ${ended.err}`)
  return ended.out
}
const agent = (...parameters: string[]): Promise<Ended> => holdfast([...parameters, '--json', '--home', join(scratch, 'agent')])
const snapshots = async (): Promise<string[]> =>
  (JSON.parse(checked(await agent('snapshots'))) as { snapshots: { snapshot: string }[] }).snapshots.map(({ snapshot }) => snapshot)
async function differences(name: string, ...more: string[]): Promise<readonly string[]> {
  checked(await agent('restore', '--to', join(scratch, name), ...more))
  return compareFolders(files, join(scratch, name, files), () => false).differences
}

test.serial('an agent pairs, its key is safe in the keystore, it backs up and restores through the machine', async t => {
  t.timeout(15 * MINUTES)
  await powerOn()
  const connection = JSON.parse(readFileSync(keystore.connection, 'utf8')) as { addresses: string[] }
  const addresses = connection.addresses.filter(address => address.includes(HOST_ADDRESS))
  t.is(addresses.length, 1)
  const operator = makeIdentity()
  const site = await setUp(machine, { address: ADDRESS, keystore: { ...connection, addresses, recovery_recipients: [operator.recipient] } })
  await connect(machine, site, scratch, ADDRESS)
  writeFileSync(join(scratch, 'password'), `${PASSWORD}\n`)
  checked(await administer(scratch, 'user', 'add', 'ann', '--password-file', join(scratch, 'password')))
  const { link } = JSON.parse(checked(await administer(scratch, 'link', 'ann'))) as { link: string }
  const paired = JSON.parse(checked(await agent('pair', link, '--password-file', join(scratch, 'password')))) as { key: string }
  t.is(paired.key, 'made')
  for (;;) {
    const { escrow } = JSON.parse(checked(await agent('status'))) as { escrow: { safe_ms: number | null } | null }
    if (escrow?.safe_ms) break
    await pause(1000)
  }
  makeTree(files, 3, 24 * MIB)
  const begun_ms = performance.now()
  checked(await agent('backup', files))
  t.log(`24 MiB that do not compress backed up in ${((performance.now() - begun_ms) / 1000).toFixed(1)} s`)
  t.deepEqual(await differences('back'), [])
  // What opens the state is where the disk's own first partition has it, for the keystore's operators alone.
  const sealed = await machine.shell.output('until base64 -w0 /boot/holdfast-recovery-key.age 2>/dev/null; do sleep 1; done')
  const opened = await Array.fromAsync(decrypt(Readable.from([Buffer.from(sealed, 'base64')]), [operator.identity]))
  t.is(Buffer.concat(opened).toString().trim(), site.recovery_key)
  // Another connection file of the same keystore: the key comes out of it for a further device.
  const file = join(scratch, 'another-connection.json')
  writeFileSync(file, JSON.stringify({ ...connection, addresses: [...addresses, `https://${HOST_ADDRESS}:9`] }), { mode: 0o600 })
  const from = await machine.shell.output('systemctl show --value -p MainPID holdfast-authority')
  checked(await administer(scratch, 'machine', 'keystore', file))
  await machine.shell.output(`until p=$(systemctl show --value -p MainPID holdfast-authority); [ "$p" != 0 ] && [ "$p" != ${from} ]; do sleep 1; done`)
  t.regex(
    await machine.shell.output('stat -c "%U %a" /var/lib/holdfast/authority/keystore.json; nft list set inet holdfast keystore_v4'),
    /^holdfast-authority 600\n[\s\S]* \. 9\b/,
  )
  let second: { link: string } | undefined
  while (!second) {
    const { code, out } = await administer(scratch, 'link', 'ann')
    if (code === 0) second = JSON.parse(out) as { link: string }
  }
  const further = ['--json', '--home', join(scratch, 'further'), '--password-file', join(scratch, 'password')]
  t.is((JSON.parse(checked(await holdfast(['pair', second.link, ...further]))) as { key: string }).key, 'fetched')
})

test.serial(`idle, all services together take less than ${IDLE_MB_MAX} MB`, async t => {
  // Anonymous and locked memory: what is in the page cache is given back when somebody needs it.
  const one = 'awk \'$1=="anon"||$1=="shmem"{s+=$2} END{printf "%d", s/1000000}\''
  const listed = await machine.shell.output(`for s in /sys/fs/cgroup/system.slice/holdfast-*.service; do n=$(${one} $s/memory.stat); echo $n \${s##*/}; done`)
  t.log(listed)
  const total_mb = listed.split('\n').reduce((sum, line) => sum + Number(line.split(' ')[0]), 0)
  t.log(`together ${total_mb} MB`)
  t.true(total_mb > 50 && total_mb <= IDLE_MB_MAX)
})

test.serial('after a power cut at a random moment of a backup every snapshot that was acknowledged restores, and the backup goes on', async t => {
  t.timeout(20 * MINUTES)
  for (let cut = 0; cut < POWER_CUTS; cut++) {
    const before = await snapshots()
    rmSync(files, { recursive: true })
    makeTree(files, 10 + cut, 24 * MIB)
    const backing = agent('backup', files)
    const after_ms = randomInt(1, 12_000)
    await Promise.race([backing, pause(after_ms)])
    await machine.kill()
    const ended = await backing
    t.log(`cut after ${after_ms} ms; the backup ended with ${ended.code}`)
    await powerOn()
    await machine.serial.waitFor(/^State: ready$/m, { timeout_ms: 10 * MINUTES })
    const acknowledged = ended.code === 0 ? [...before, (JSON.parse(ended.out) as { snapshot: string }).snapshot] : before
    const now = await snapshots()
    t.deepEqual(
      acknowledged.filter(snapshot => !now.includes(snapshot)),
      [],
    )
    checked(await agent('backup', files))
    t.deepEqual(await differences(`back-${cut}`), [])
    checked(await agent('verify'))
  }
})

test.serial('a storage node that hangs is started again, and an authority that goes on hanging has the machine restarted', async t => {
  t.timeout(15 * MINUTES)
  // As shipped it is two minutes: the test has not as much time.
  for (const name of ['storage', 'authority'])
    await machine.shell.output(
      `d=/run/systemd/system/holdfast-${name}.service.d; mkdir -p $d; printf "[Service]\\nWatchdogSec=15\\n" >$d/t.conf; systemctl daemon-reload; systemctl restart holdfast-${name}`,
    )
  const before = await machine.shell.output('systemctl show --value -p MainPID holdfast-storage')
  await machine.shell.output('systemctl kill --signal=STOP holdfast-storage')
  const wait = `until p=$(systemctl show --value -p MainPID holdfast-storage); [ "$p" != 0 ] && [ "$p" != ${before} ]; do sleep 1; done; echo $p`
  t.not(await machine.shell.output(wait, 600_000), before)
  t.is(await machine.shell.output('wc -l </run/holdfast-hung/holdfast-storage'), '1')

  const from = machine.serial.text.length
  const restarted = machine.serial.waitFor(/starting Boot/, { from, timeout_ms: 8 * MINUTES }).then(
    () => true,
    () => false,
  )
  const hang = async (): Promise<void> => {
    while (machine.serial.text.indexOf('starting Boot', from) < 0) {
      await machine.shell.run('systemctl kill --signal=STOP holdfast-authority', 20_000).catch(() => undefined)
      await pause(5_000)
    }
  }
  const hanging = hang()
  t.true(await restarted)
  await hanging
  await machine.serial.waitFor(/^State: ready$/m, { from: machine.serial.text.indexOf('starting Boot', from), timeout_ms: 10 * MINUTES })
})
