// The image in machines: it comes up whole, each machine is another one, what lies on its disk is closed to everybody else, and
// nobody reaches what is not his. One disk is followed from its first start on, so the order of these tests matters.
import { randomBytes } from 'node:crypto'
import { closeSync, copyFileSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { createConnection, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { HOST_ADDRESS, type Machine, type MachineOptions, startMachine } from './machine.ts'

/** Built with `--extra test/image/tree`: it has a shell on the second serial line, and is otherwise the same. */
const IMAGE = process.env['HOLDFAST_TEST_IMAGE'] ?? join(import.meta.dirname, '../../node_modules/.cache/holdfast-image/output-test/disk.raw')
const DISK_BYTES = 8 * 1024 ** 3
const READY = /holdfast-ready\[\d+\]: (\d+) loaded units listed/
const ASKS = /passphrase|recovery key/i
const SILENT_MS = 5_000
const OTHER_PORT = 9_999
const MARK = randomBytes(16).toString('hex')

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-boot-'))
const disk = join(scratch, 'disk.raw')
const board = join(scratch, 'board')
const running = new Set<Machine>()
let first: Identity

test.before(() => freshDisk(disk))
test.afterEach.always(async t => {
  for (const machine of running) {
    if (!t.passed) t.log(machine.serial.end)
    await machine.kill()
  }
  running.clear()
})
test.after.always(() => rmSync(scratch, { recursive: true, force: true }))

function freshDisk(path: string): void {
  copyFileSync(IMAGE, path)
  truncateSync(path, DISK_BYTES)
}

async function start(options: Partial<MachineOptions> = {}): Promise<Machine> {
  const machine = await startMachine({ disk, board, ...options })
  running.add(machine)
  return machine
}

async function off(machine: Machine): Promise<void> {
  await machine.powerdown()
  running.delete(machine)
}

/** Waits until the start is over; says how long it took. */
async function ready(t: ExecutionContext, machine: Machine): Promise<void> {
  const begun_ms = performance.now()
  const [, failed] = await machine.serial.waitFor(READY, { timeout_ms: 900_000 })
  t.log(`ready after ${Math.round((performance.now() - begun_ms) / 1000)} s, ${Math.round(machine.cpu_ms() / 1000)} s of processor time`)
  t.is(failed, '0', machine.serial.end)
  t.is(await machine.shell.output('systemctl is-system-running --wait'), 'running')
}

type Identity = { readonly machine: string; readonly state: string; readonly fingerprint: string }

const identityOf = async (machine: Machine): Promise<Identity> => ({
  machine: await machine.shell.output('cat /etc/machine-id'),
  state: await machine.shell.output('cryptsetup luksUUID /dev/disk/by-partlabel/state'),
  fingerprint: (await machine.serial.waitFor(/^Fingerprint: (\S+)/m))[1] ?? '',
})

test.serial('the first start ends with every unit up, and a disk that the image was written to is used whole', async t => {
  const machine = await start()
  await ready(t, machine)
  first = await identityOf(machine)
  t.regex(await machine.shell.output('cat /run/holdfast/recovery-key'), /^([a-z]{8}-){7}[a-z]{8}$/)
  t.true(Number(await machine.shell.output('lsblk -bno SIZE /dev/disk/by-partlabel/state | head -1')) > DISK_BYTES / 2)
  t.log(await machine.shell.output('cat /proc/meminfo | head -3; systemd-analyze | head -1'))
  await machine.shell.output(`echo ${MARK} >/var/lib/marked; sync`)
  await off(machine)
})

test.serial('what was written does not lie readable on the disk', t => {
  const file = openSync(disk, 'r')
  const piece = Buffer.alloc(16 * 1024 ** 2)
  let found = false
  for (let at = 0; ; at += piece.length - MARK.length) {
    const length = readSync(file, piece, 0, piece.length, at)
    found ||= piece.subarray(0, length).includes(MARK)
    if (length < piece.length) break
  }
  closeSync(file)
  t.false(found)
})

test.serial('the second start ends with every unit up too, and only the expected ports and users get through', async t => {
  const machine = await start({ forward: [443, OTHER_PORT] })
  await ready(t, machine)
  t.is(await machine.shell.output('cat /var/lib/marked'), MARK)
  t.is((await identityOf(machine)).machine, first.machine)

  const server = `require('net').createServer(s => s.end('hello')).listen(${OTHER_PORT}, '0.0.0.0')`
  await machine.shell.output(`node -e "${server}" >/dev/null 2>&1 & until (: </dev/tcp/127.0.0.1/${OTHER_PORT}) 2>/dev/null; do sleep 0.2; done`)
  t.is(await said(machine.port(OTHER_PORT)), '')
  t.true(await machine.serial.waitFor(/^State: to be set up/m).then(() => answers(machine.port(443))))

  const keystore = await listening()
  t.teardown(() => keystore.server.close())
  const reach = (user: number): Promise<number> =>
    machine.shell
      .run(`timeout 20 setpriv --reuid=${user} --regid=${user} --clear-groups bash -c ': </dev/tcp/${HOST_ADDRESS}/${keystore.port}'`)
      .then(({ code }) => code)
  t.not(await reach(7400), 0)
  await machine.shell.output(
    `echo 'add element inet holdfast keystore_v4 { ${HOST_ADDRESS} . ${keystore.port} }' >/var/lib/holdfast/network/keystore.nft; systemctl reload holdfast-firewall`,
  )
  t.is(await reach(7400), 0)
  for (const user of [0, 7401, 7402, 7443]) t.not(await reach(user), 0, `user ${user}`)
  await off(machine)
})

test.serial('a command line from outside starts a system that cannot open the state', async t => {
  // PCR 12 says that something was added, whatever it is.
  const machine = await start({ arguments: ['-smbios', 'type=11,value=io.systemd.stub.kernel-cmdline-extra=systemd.log_level=info'] })
  await machine.serial.waitFor(ASKS, { timeout_ms: 900_000 })
  t.notRegex(machine.serial.text, /^State:/m)
})

test.serial('two machines from one image are not the same', async t => {
  const other = join(scratch, 'other.raw')
  freshDisk(other)
  const machine = await start({ disk: other, board: join(scratch, 'other-board') })
  await ready(t, machine)
  const second = await identityOf(machine)
  t.not(second.machine, first.machine)
  t.not(second.state, first.state)
  t.not(second.fingerprint, first.fingerprint)
})

test.serial('a root with one changed byte does not start', async t => {
  const changed = join(scratch, 'changed.raw')
  freshDisk(changed)
  changeByte(changed, '{"version":1')
  const machine = await start({ disk: changed, board: join(scratch, 'third-board') })
  const { index } = await machine.serial.waitFor(/starting Boot/)
  await machine.serial.waitFor(/starting Boot/, { from: index + 20, timeout_ms: 900_000 })
  t.notRegex(machine.serial.text, /^State:/m)
})

/** Changes the first byte of a text in the root. */
function changeByte(path: string, text: string): void {
  const file = openSync(path, 'r+')
  const piece = Buffer.alloc(16 * 1024 ** 2)
  for (let at = 0; ; at += piece.length - text.length) {
    const length = readSync(file, piece, 0, piece.length, at)
    const found = piece.subarray(0, length).indexOf(text)
    if (found >= 0) {
      writeSync(file, Buffer.from([text.charCodeAt(0) ^ 1]), 0, 1, at + found)
      break
    }
    if (length < piece.length) throw new Error(`${text} is not in the root as it is`)
  }
  closeSync(file)
}

/** What a port says by itself, in a while. */
async function said(port: number): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    const socket = createConnection(port, '127.0.0.1')
    const done = (): void => {
      socket.destroy()
      resolve(text)
    }
    const timer = setTimeout(done, SILENT_MS)
    socket.on('data', part => (text += part.toString()))
    socket.once('close', () => {
      clearTimeout(timer)
      done()
    })
    socket.on('error', () => undefined)
  })
}

/** Whether somebody who speaks TLS is there. */
async function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false)).once('close', () => resolve(false))
  })
}

async function listening(): Promise<{ server: Server; port: number }> {
  const server = createServer(socket => socket.end())
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve({ server, port: typeof address === 'object' && address ? address.port : 0 })
    })
  })
}
