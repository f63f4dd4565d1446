// First boot, set-up, network and power cuts in a real machine. One machine lives through all of it.
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { connect as connectTo } from 'node:tls'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { makeTree } from '../site/tree.ts'
import { type Machine, type MachineOptions, startMachine } from './machine.ts'
import { administer, connect, POWER_CUTS, type SiteAnswer, setUp } from './set-up.ts'

const IMAGE = process.env['HOLDFAST_IMAGE'] ?? join(import.meta.dirname, '../../node_modules/.cache/holdfast-image/output/disk.raw')
const MIB = 1024 * 1024
const MINUTES = 60_000
/** Agents reach the machine at an address of this machine that no other test uses. */
const ADDRESS = `127.78.${process.pid % 250}.7`
const PASSWORD = 'a password for tests'
const NETWORK = { version: 1, ipv4: { method: 'dhcp' }, ipv6: { method: 'auto' }, dns: [] }

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-first-boot-'))
const disk = join(scratch, 'disk.raw')
let machine: Machine
let site: SiteAnswer

test.before(() => {
  copyFileSync(IMAGE, disk)
  truncateSync(disk, 8 * 1024 * MIB)
})
test.after.always(async () => {
  await machine?.kill()
  rmSync(scratch, { recursive: true, force: true })
})
test.afterEach.always(t => {
  if (!t.passed) t.log(machine?.serial.end)
})

const powerOn = async (options: Partial<MachineOptions> = {}): Promise<void> => {
  // Of a test that failed.
  await machine?.kill()
  machine = await startMachine({ disk, board: join(scratch, 'board'), forward: [443, 7400, 7401], ...options })
}
const checked = (ended: Ended): string => {
  if (ended.code !== 0) throw new Error(`ended with ${ended.code}: ${ended.err}`)
  return ended.out
}
/** A USB stick with this text in the file for network settings. */
function stickWith(name: string, text: string): string {
  const [file, image] = [join(scratch, `${name}.json`), join(scratch, `${name}.raw`)]
  writeFileSync(file, text)
  writeFileSync(image, '')
  truncateSync(image, 64 * MIB)
  execFileSync('mkfs.vfat', ['-n', 'ANYTHING', image])
  execFileSync('mcopy', ['-i', image, file, '::/holdfast-network.json'])
  return image
}
async function putIn(name: string, image: string): Promise<void> {
  await machine.control('blockdev-add', { driver: 'raw', 'node-name': name, 'read-only': true, file: { driver: 'file', filename: image } })
  await machine.control('device_add', { driver: 'usb-storage', id: `stick-${name}`, drive: name, removable: true })
}
/** Waits for what the screen says from now on. */
const saysNow = (wanted: RegExp): Promise<RegExpExecArray> => machine.serial.waitFor(wanted, { from: machine.serial.text.length })
/** Waits for the address, and until the screen, which is started anew with new settings, hears what is typed. */
async function set(address: string, act: () => unknown): Promise<void> {
  const [there, again] = [saysNow(new RegExp(`^Address: ${address.replaceAll('.', '\\.')} \\(`, 'm')), saysNow(/^Keyboard: /m)]
  await act()
  await Promise.all([there, again])
}
async function keepPicture(name: string): Promise<void> {
  const folder = process.env['HOLDFAST_PICTURES']
  if (folder) await machine.control('screendump', { filename: join(folder, `${name}.png`), format: 'png' })
}
const isOpen = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    // QEMU takes the connection itself; only a guest that answers says who it is.
    const socket = connectTo({ host: '127.0.0.1', port, rejectUnauthorized: false, timeout: 20_000 }, () => {
      resolve(true)
      socket.destroy()
    })
    socket.once('timeout', () => socket.destroy())
    socket.once('close', () => resolve(false)).on('error', () => {})
  })

test.serial('with the clock at 1970, and the power cut at random moments of its first boots, a machine comes up to be set up', async t => {
  t.timeout(25 * MINUTES)
  for (let at = 1; at <= POWER_CUTS; at++) {
    await powerOn({ clock: '1970-01-01T00:00:10', isForgetful: true })
    // From before the disk is divided until set-up waits.
    await machine.serial.waitFor(/Linux version|systemd\[1\]|Welcome|EFI stub/i)
    const after_ms = randomInt(60_000)
    t.log(`first boot ${at}: cut ${after_ms} ms after the kernel began`)
    await Promise.race([wait(after_ms), machine.serial.waitFor(/^State: to be set up/m).catch(() => undefined)])
    await machine.kill()
  }
  await powerOn({ clock: '1970-01-01T00:00:10', isForgetful: true })
  await machine.serial.waitFor(/^State: to be set up/m, { timeout_ms: 10 * MINUTES })
  await machine.serial.waitFor(/^Set up at: https:\/\/10\.0\.2\.15\/$/m)
  await t.notThrowsAsync(machine.serial.waitFor(/^Code: [0-9A-Z]{5}-[0-9A-Z]{5}$/m))
  await keepPicture('screen-to-be-set-up')
})

test.serial('the power cut at a random moment of set-up leaves a site or none, and then it is set up, and ready', async t => {
  t.timeout(25 * MINUTES)
  let made: SiteAnswer | undefined
  const setting = setUp(machine, { address: ADDRESS }).then(
    answer => {
      made = answer
    },
    () => undefined,
  )
  const after_ms = randomInt(20_000)
  t.log(`cut after ${after_ms} ms of set-up`)
  await Promise.race([setting, wait(after_ms)])
  await machine.kill()
  await setting
  await powerOn({ clock: '1970-01-01T00:00:10', isForgetful: true })
  const [, state = ''] = await machine.serial.waitFor(/^State: (to be set up|ready)$/m, { timeout_ms: 10 * MINUTES })
  t.log(`then it was: ${state}`)
  if (made) t.is(state, 'ready', 'what was said to be finished is there')
  if (state === 'ready' && !made) {
    // There is a site whose answer was lost with the power: its facts are on the screen.
    const [, ca_sha256 = ''] = await machine.serial.waitFor(/^CA SHA-256: ([\w-]{43})$/m)
    site = { address: ADDRESS, ca_sha256, recovery_key: '' }
  } else site = made ?? (await setUp(machine, { address: ADDRESS }))
  await machine.serial.waitFor(/^State: ready$/m)
  await connect(machine, site, scratch)
  t.false(await isOpen(machine.port(443)), 'the page is gone')
  t.true(await isOpen(machine.port(7400)))
  await machine.serial.waitFor(/^Protected: 0 devices of 0 users$/m)
  t.notRegex(machine.serial.text, /^Attention:/m)
  await keepPicture('screen-ready')
})

test.serial('a wrong network is set by an act, refused and undone by sticks, another one typed at the machine, and it is reached again', async t => {
  t.timeout(15 * MINUTES)
  const far = { ...NETWORK, ipv4: { method: 'static', address: '192.0.2.10/24', gateway: '192.0.2.1' } }
  checked(await administer(scratch, 'machine', 'do', 'network.set', JSON.stringify({ network: far })))
  await machine.serial.waitFor(/^Address: 192\.0\.2\.10 \(/m)
  const refused = saysNow(/^Attention: holdfast-network\.json on the USB stick was not used: NETWORK_INVALID/m)
  await putIn('bad', stickWith('bad', JSON.stringify({ ...NETWORK, ipv4: { method: 'static', address: '10.0.2.15' } })))
  await refused
  await set('10.0.2.15', () => putIn('good', stickWith('good', JSON.stringify(NETWORK))))
  t.deepEqual(JSON.parse(checked(await administer(scratch, 'machine', 'do', 'network.show', '{}'))).network, NETWORK)
  // Whoever stands there may type it, too.
  for (const [address, ...more] of [['10.0.2.99', ''], ['10.0.2.15']] as const) {
    const lines = ['network', more.length > 0 ? `${address}/24` : 'dhcp', ...more, '', '', 'yes']
    await t.notThrowsAsync(set(address, () => machine.serial.type(lines.map(line => `${line}\n`).join(''))))
  }
  await machine.powerdown()
})

test.serial('without any network the machine is ready, and an endpoint on a direct link backs up and restores', async t => {
  t.timeout(25 * MINUTES)
  // A link without DHCP for this machine: what it has are the addresses that it gives itself.
  const only = stickWith('link-local', JSON.stringify({ ...NETWORK, ipv4: { method: 'link-local' }, ipv6: { method: 'link-local' } }))
  const link = ['-netdev', 'user,id=link,net=169.254.0.0/16,host=169.254.0.2,restrict=on', '-device', 'virtio-net-pci,netdev=link']
  await powerOn({ forward: [], hasNetwork: false, arguments: link, usb: [only] })
  // Until the stick is read, there is one from QEMU's DHCP: 169.254.2.15.
  const [, address = ''] = await machine.serial.waitFor(/^Address: (169\.254\.(?!2\.15 )\d+\.\d+) \(/m)
  await machine.serial.waitFor(/^State: ready$/m)
  for (const port of [7400, 7401])
    await machine.control('human-monitor-command', { 'command-line': `hostfwd_add link tcp:${ADDRESS}:${port}-${address}:${port}` })
  writeFileSync(join(scratch, 'password'), `${PASSWORD}\n`)
  checked(await administer(scratch, 'connect', ADDRESS, '--ca-sha256', site.ca_sha256, '--as', 'ada'))
  checked(await administer(scratch, 'user', 'add', 'ann', '--password-file', join(scratch, 'password')))
  const { link: pairing } = JSON.parse(checked(await administer(scratch, 'link', 'ann'))) as { link: string }
  const agent = async (...parameters: string[]): Promise<string> => checked(await holdfast([...parameters, '--json', '--home', join(scratch, 'agent')]))
  await agent('pair', pairing, '--password-file', join(scratch, 'password'))
  makeTree(join(scratch, 'files'), 3, 4 * MIB)
  await agent('backup', join(scratch, 'files'))
  await agent('restore', '--to', join(scratch, 'back'))
  t.deepEqual(compareFolders(join(scratch, 'files'), join(scratch, 'back', scratch, 'files'), () => false).differences, [])
})
