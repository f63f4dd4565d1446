// The life of an appliance in a real machine: data disks that come, go missing and fill up, an export on a USB disk that
// restores without it, and a factory reset after which it is another one.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { makeTree } from '../site/tree.ts'
import { type Machine, startMachine } from './machine.ts'
import { administer, connect, type SiteAnswer, setUp } from './set-up.ts'

const IMAGE = process.env['HOLDFAST_IMAGE'] ?? join(import.meta.dirname, '../../node_modules/.cache/holdfast-image/output/disk.raw')
const MIB = 1024 * 1024
const PASSWORD = 'a password for tests'
/** Agents reach the machine at an address of this machine that no other test uses. */
const ADDRESS = `127.77.${process.pid % 250}.7`
const MINUTES = 60_000
/** Of which the storage node keeps 512 MiB in reserve, and btrfs with one of its two disks away half of what was free. */
const DISK_BYTES = 1400 * MIB
/** On a machine with much else to do. */
const BOOT_MS_MAX = 15 * MINUTES
/** In emulation, on such a machine: a quiet one takes 3 to 6 s. */
const SHUTDOWN_MS_MAX = 30_000

type Listed = { disks: { serial: string; size_bytes: number; use: string; content: string }[]; missing: { serial: string }[] }

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-life-'))
const paths = {
  disk: join(scratch, 'disk.raw'),
  board: join(scratch, 'board'),
  one: join(scratch, 'one.raw'),
  two: join(scratch, 'two.raw'),
  usb: join(scratch, 'usb.raw'),
}
let machine: Machine
let site: SiteAnswer
/** Of the first agent. */
let archive: string
/** After a factory reset. */
let again: SiteAnswer

test.before(() => {
  copyFileSync(IMAGE, paths.disk)
  truncateSync(paths.disk, 8 * 1024 * MIB)
  for (const path of [paths.one, paths.two]) {
    writeFileSync(path, '')
    truncateSync(path, DISK_BYTES)
  }
  writeFileSync(paths.usb, '')
  truncateSync(paths.usb, 1024 * MIB)
  execFileSync('mkfs.vfat', ['-F', '32', '-n', 'STICK', paths.usb])
})
test.after.always(async () => {
  await machine?.kill()
  rmSync(scratch, { recursive: true, force: true })
})
test.afterEach.always(t => {
  if (!t.passed) t.log(machine?.serial.end)
})

async function powerOn(disks: readonly string[]): Promise<void> {
  // Of a test that failed.
  await machine?.kill()
  machine = await startMachine({ disk: paths.disk, board: paths.board, disks, usb: [paths.usb], forward: [443, 7400, 7401] })
  for (const port of [7400, 7401]) await machine.control('human-monitor-command', { 'command-line': `hostfwd_add tcp:${ADDRESS}:${port}-:${port}` })
}

const checked = (ended: Ended): string => {
  if (ended.code !== 0) throw new Error(`ended with ${ended.code}: ${ended.err}`)
  return ended.out
}
/** @param folder  which is connected to the machine */
const act = async <Answer>(name: string, values: object = {}, folder = scratch): Promise<Answer> => {
  // Some hold the recovery key, which is nothing for arguments.
  const file = join(scratch, 'values')
  writeFileSync(file, JSON.stringify(values))
  return JSON.parse(checked(await administer(folder, 'machine', 'do', name, `@${file}`))) as Answer
}
async function linkOfAnn(folder: string): Promise<string> {
  checked(await administer(folder, 'user', 'add', 'ann', '--password-file', join(scratch, 'password')))
  return (JSON.parse(checked(await administer(folder, 'link', 'ann'))) as { link: string }).link
}
const usbOf = ({ disks }: Listed): string => disks.find(({ use }) => use === 'usb')?.serial ?? ''
const agent = (...parameters: string[]): Promise<Ended> => holdfast([...parameters, '--json', '--home', join(scratch, 'agent')])
const confirmed = ({ disks }: Listed, serial: string): object => {
  const found = disks.find(disk => disk.serial === serial)
  if (!found) throw new Error(`${serial} is not among ${JSON.stringify(disks)}`)
  return { serial, size_bytes: found.size_bytes, content: found.content }
}
const differences = (a: string, b: string): readonly string[] => compareFolders(a, b, () => false).differences

async function restoresAll(name: string): Promise<readonly string[]> {
  checked(await agent('restore', '--to', join(scratch, name)))
  return differences(join(scratch, 'files'), join(scratch, name, scratch, 'files'))
}

test.serial('archives move onto two encrypted disks, and are exported onto a USB disk from which they restore without the appliance', async t => {
  t.timeout(25 * MINUTES)
  await powerOn([paths.one, paths.two])
  await machine.serial.waitFor(/Code: /, { timeout_ms: BOOT_MS_MAX })
  site = await setUp(machine, { address: ADDRESS })
  await connect(machine, site, scratch, ADDRESS)
  writeFileSync(join(scratch, 'password'), `${PASSWORD}\n`)
  checked(await agent('pair', await linkOfAnn(scratch), '--password-file', join(scratch, 'password')))
  makeTree(join(scratch, 'files'), 3, 6 * MIB)
  checked(await agent('backup', join(scratch, 'files')))

  const before = await act<Listed>('disks.list')
  t.deepEqual(
    before.disks.map(({ serial, use }) => [serial, use]).filter(([serial]) => serial?.startsWith('data-')),
    [
      ['data-0', 'free'],
      ['data-1', 'free'],
    ],
  )
  const after = await act<Listed>('disks.use', { disks: ['data-0', 'data-1'].map(serial => confirmed(before, serial)), recovery_key: site.recovery_key })
  t.deepEqual(
    after.disks.filter(({ use }) => use === 'data').map(({ serial }) => serial),
    ['data-0', 'data-1'],
  )
  t.deepEqual(await restoresAll('from data disks'), [])

  const usb = usbOf(after)
  archive = (JSON.parse(checked(await agent('status'))) as { archive: string }).archive
  const exported = await act<{ archives: number; files: number }>('archives.export', { disk: usb, archives: [{ archive, user: 'ann', hostname: 'laptop' }] })
  t.is(exported.archives, 1)
  checked(await agent('key', 'export', '--to', join(scratch, 'ann.key')))
  const begun_ms = performance.now()
  await machine.powerdown()
  t.log(`switched off in ${Math.round(performance.now() - begun_ms)} ms`)
  t.true(performance.now() - begun_ms < SHUTDOWN_MS_MAX)

  // The stick, as another computer sees it: its file system is read with mtools, so nothing in it may be run as it lies there.
  const stick = join(scratch, 'stick')
  mkdirSync(stick)
  execFileSync('mcopy', ['-s', '-i', paths.usb, '::/holdfast-export', stick])
  const recovered = spawnSync(
    'sh',
    [join(stick, 'holdfast-export/holdfast-recover'), '--key-file', join(scratch, 'ann.key'), '--to', join(scratch, 'recovered')],
    { encoding: 'utf8' },
  )
  t.is(recovered.status, 0, recovered.stderr)
  t.deepEqual(differences(join(scratch, 'files'), join(scratch, 'recovered', scratch, 'files')), [])
})

test.serial(
  'without one of two disks the machine starts, says so on its screen, and backups and restores go on, until the rest is full; then restores do',
  async t => {
    t.timeout(25 * MINUTES)
    await powerOn([paths.one])
    await machine.serial.waitFor(/Attention: Data disk data-1 is missing/, { timeout_ms: BOOT_MS_MAX })
    await machine.serial.waitFor(/^State: ready$/m, { timeout_ms: BOOT_MS_MAX })
    t.deepEqual(await restoresAll('from one disk'), [])
    rmSync(join(scratch, 'files'), { recursive: true })
    makeTree(join(scratch, 'files'), 4, 3 * MIB)
    checked(await agent('backup'))
    t.deepEqual(await restoresAll('a newer one'), [])

    makeTree(join(scratch, 'much'), 5, DISK_BYTES - 600 * MIB)
    const full = await agent('backup', join(scratch, 'much'))
    t.regex(full.err, /ARCHIVE_FULL/)
    const latest = (JSON.parse(checked(await agent('snapshots'))) as { snapshots: { snapshot: string }[] }).snapshots.at(-1)?.snapshot ?? ''
    checked(await agent('restore', '--at', latest, '--to', join(scratch, 'from a full disk')))
    t.deepEqual(differences(join(scratch, 'files'), join(scratch, 'from a full disk', scratch, 'files')), [])
    await machine.serial.waitFor(/Attention: The disk of the archives is nearly full/)
  },
)

test.serial('in another machine the recovery key opens the state, and binds it to that machine, which starts by itself from then on', async t => {
  t.timeout(25 * MINUTES)
  await machine.kill()
  paths.board = join(scratch, 'another board')
  await powerOn([paths.one])
  await machine.serial.waitFor(/Please enter .*(passphrase|recovery key).*/i, { timeout_ms: BOOT_MS_MAX })
  machine.serial.type(`${site.recovery_key}\n`)
  await machine.serial.waitFor(/State: ready/, { timeout_ms: BOOT_MS_MAX })
  t.deepEqual(await act('state.bind', { recovery_key: site.recovery_key }), { bound: true })
  await machine.powerdown()
  await powerOn([paths.one])
  await machine.serial.waitFor(/State: ready/, { timeout_ms: BOOT_MS_MAX })
  t.notRegex(machine.serial.text, /Please enter/)
})

test.serial('a factory reset takes the word on the screen, leaves nothing that a key could open, and the machine is another one', async t => {
  t.timeout(15 * MINUTES)
  const wrong = await administer(scratch, 'machine', 'do', 'reset.confirm', '{"word":"ABCDEFGH"}')
  t.regex(wrong.err, /RESET_NOT_ASKED/)
  await act('reset.ask')
  const [, word = ''] = await machine.serial.waitFor(/confirm with the word ([A-Z2-9]{8})/)
  const at = machine.serial.text.length
  // The other of the two data disks is not connected.
  t.deepEqual(await act('reset.confirm', { word }), { restarts: true, not_erased: ['data-1'] })
  await machine.serial.waitFor(/State: to be set up/, { from: at, timeout_ms: BOOT_MS_MAX })
  again = await setUp(machine, { address: ADDRESS })
  t.not(again.ca_sha256, site.ca_sha256)
  t.not(again.recovery_key, site.recovery_key)
  t.regex((await administer(scratch, 'user', 'list')).err, /certificate|identity|CA|UNREACHABLE/i)
  t.notRegex(execFileSync('cryptsetup', ['luksDump', paths.one], { encoding: 'utf8' }), /^ {2}\d+: luks2$/m)
})

test.serial('what was exported is imported from the stick by another appliance, and its user goes on with it', async t => {
  t.timeout(15 * MINUTES)
  const folder = join(scratch, 'another site')
  mkdirSync(folder)
  await connect(machine, again, folder, ADDRESS)
  const link = await linkOfAnn(folder)
  const { imported } = await act<{ imported: { archive: string }[] }>(
    'archives.import',
    { disk: usbOf(await act<Listed>('disks.list', {}, folder)), archives: [] },
    folder,
  )
  t.deepEqual(
    imported.map(one => one.archive),
    [archive],
  )
  const { device } = JSON.parse(checked(await administer(folder, 'archive', 'adopt', archive, 'ann', '--hostname', 'laptop'))) as { device: string }
  const anew = (...parameters: string[]): Promise<Ended> => holdfast([...parameters, '--json', '--home', join(folder, 'agent')])
  checked(await anew('pair', link, '--password-file', join(scratch, 'password'), '--take-over', device, '--key-file', join(scratch, 'ann.key')))
  checked(await anew('restore', '--to', join(folder, 'restored')))
  t.deepEqual(differences(join(scratch, 'recovered', scratch, 'files'), join(folder, 'restored', scratch, 'files')), [])
  rmSync(join(scratch, 'files'), { recursive: true })
  makeTree(join(scratch, 'files'), 3, 6 * MIB)
  const { read_bytes, sent_bytes } = JSON.parse(checked(await anew('backup', join(scratch, 'files')))) as { read_bytes: number; sent_bytes: number }
  t.true(read_bytes > 6 * MIB && sent_bytes < MIB, `${sent_bytes} of ${read_bytes} bytes were sent again`)
})
