// A machine for the image: QEMU in software emulation (no KVM is needed), with a software TPM that keeps its state in a folder.
// A disk may be behind a cache that forgets, when the power is cut, what was not flushed.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Serial } from './serial.ts'
import { Shell } from './shell.ts'

const FIRMWARE = '/usr/share/OVMF/OVMF_CODE_4M.fd'
const FIRMWARE_VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.fd'
const SOCKET_WAIT_MS = 20_000
/** Where the guest reaches this machine. */
export const HOST_ADDRESS = '10.0.2.2'

export type MachineOptions = {
  /** Raw; written to. */
  readonly disk: string
  /** The folder of this machine's TPM, firmware variables and id: made if it is not there. Another folder is another machine. */
  readonly board: string
  /** Ports of the guest that are reached here, at `port()`. */
  readonly forward?: readonly number[]
  /** Further raw disks. */
  readonly disks?: readonly string[]
  /** Raw images of USB sticks. */
  readonly usb?: readonly string[]
  /** What is not flushed is lost when the power is cut. Only the first disk. */
  readonly isForgetful?: boolean
  readonly hasTpm?: boolean
  /** No network device at all. */
  readonly hasNetwork?: boolean
  readonly memory_mib?: number
  /** By default one: two machines at once then take less time than one after the other with two. */
  readonly processors?: number
  /** The clock at power-on, for example 1970-01-01T00:00:10. */
  readonly clock?: string
  /** Further arguments of QEMU. */
  readonly arguments?: readonly string[]
}

export type Machine = {
  readonly serial: Serial
  /** Only in images with the folder `tree`. What is typed before the shell is there waits for it. */
  readonly shell: Shell
  /** The port here that leads to this port of the guest. */
  port(guest: number): number
  /** Cuts the power. */
  kill(): Promise<void>
  /** Presses the power button, and waits until the machine is off. */
  powerdown(): Promise<void>
  /** Presses reset. */
  reset(): Promise<void>
  /** Says something to QEMU's control socket. */
  control(command: string, arguments_?: object): Promise<unknown>
  /** Waits until the machine is off, as by a power-off of its own. */
  readonly off: Promise<void>
  /** Processor time that the emulation took so far: says more than the clock does on a busy machine. */
  cpu_ms(): number
}

/** Powers a machine on. */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const scratch = mkdtempSync(join(tmpdir(), 'holdfast-machine-'))
  const ports = new Map<number, number>()
  const free = await freePorts(options.forward?.length ?? 0)
  options.forward?.forEach((guest, at) => ports.set(guest, free[at] ?? 0))
  const board = haveBoard(options.board, options.hasTpm !== false)
  const servants: ChildProcess[] = []
  const start = async (command: string, arguments_: readonly string[], socket: string): Promise<void> => {
    servants.push(spawn(command, arguments_, { stdio: ['ignore', 'ignore', 'inherit'] }))
    await socketThere(socket)
  }
  const processors = String(options.processors ?? 1)
  const arguments_ = ['-machine', 'q35,smm=off', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'max', '-smp', processors]
  arguments_.push('-m', String(options.memory_mib ?? 2048), '-uuid', board.uuid, '-rtc', options.clock ? `base=${options.clock}` : 'base=utc')
  arguments_.push('-drive', `if=pflash,format=raw,readonly=on,file=${FIRMWARE}`, '-drive', `if=pflash,format=raw,file=${board.variables}`)
  arguments_.push('-display', 'none', '-monitor', 'none', '-qmp', `unix:${join(scratch, 'qmp')},server=on,wait=off`)
  arguments_.push('-serial', 'stdio', '-serial', `unix:${join(scratch, 'shell')},server=on,wait=off`)
  arguments_.push('-device', 'virtio-rng-pci', '-device', 'qemu-xhci', '-global', 'ICH9-LPC.noreboot=false')
  if (options.isForgetful) {
    const socket = join(scratch, 'nbd')
    await start('nbdkit', ['--foreground', '--exit-with-parent', '--unix', socket, '--filter=cache', 'file', resolve(options.disk), 'cache=writeback'], socket)
    arguments_.push('-drive', `if=none,id=disk,file=nbd+unix:///?socket=${socket},format=raw,cache=none,aio=threads`)
  } else arguments_.push('-drive', `if=none,id=disk,file=${resolve(options.disk)},format=raw,cache=writeback,discard=unmap`)
  arguments_.push('-device', 'virtio-blk-pci,drive=disk,bootindex=1')
  options.disks?.forEach((disk, at) => {
    arguments_.push(
      '-drive',
      `if=none,id=data${at},file=${resolve(disk)},format=raw,cache=writeback`,
      '-device',
      `virtio-blk-pci,drive=data${at},serial=data-${at}`,
    )
  })
  options.usb?.forEach((stick, at) => {
    arguments_.push('-drive', `if=none,id=usb${at},file=${resolve(stick)},format=raw,cache=writeback`, '-device', `usb-storage,drive=usb${at},removable=on`)
  })
  if (options.hasTpm !== false) {
    const socket = join(scratch, 'tpm')
    await start('swtpm', ['socket', '--tpm2', '--tpmstate', `dir=${board.tpm}`, '--ctrl', `type=unixio,path=${socket}`, '--terminate'], socket)
    arguments_.push('-chardev', `socket,id=tpm,path=${socket}`, '-tpmdev', 'emulator,id=tpm0,chardev=tpm', '-device', 'tpm-crb,tpmdev=tpm0')
  }
  const forwards = [...ports].map(([guest, here]) => `,hostfwd=tcp:127.0.0.1:${here}-:${guest}`).join('')
  if (options.hasNetwork === false) arguments_.push('-nic', 'none')
  else arguments_.push('-nic', `user,model=virtio-net-pci${forwards}`)
  arguments_.push(...(options.arguments ?? []))
  const qemu = spawn('qemu-system-x86_64', arguments_, { stdio: ['pipe', 'pipe', 'inherit'] })
  const serial = new Serial(qemu.stdout, qemu.stdin)
  const off = new Promise<void>(done => qemu.once('close', () => done())).then(() => {
    for (const servant of servants) servant.kill('SIGKILL')
    rmSync(scratch, { recursive: true, force: true })
  })
  const control = await openControl(join(scratch, 'qmp'))
  const shell = new Shell(await connected(join(scratch, 'shell')))
  return {
    serial,
    shell,
    off,
    control,
    port: guest => {
      const here = ports.get(guest)
      if (here === undefined) throw new Error(`port ${guest} is not forwarded`)
      return here
    },
    kill: async () => {
      // The cache in front of the disk goes first: nothing that the dying machine says reaches it.
      for (const servant of servants) servant.kill('SIGKILL')
      qemu.kill('SIGKILL')
      await off
    },
    powerdown: async () => {
      await control('system_powerdown')
      await off
    },
    reset: async () => void (await control('system_reset')),
    cpu_ms: () => processorTime_ms(qemu.pid ?? 0),
  }
}

type Board = { readonly uuid: string; readonly variables: string; readonly tpm: string }

function haveBoard(folder: string, hasTpm: boolean): Board {
  const board = resolve(folder)
  const [tpm, variables, id] = [join(board, 'tpm'), join(board, 'variables.fd'), join(board, 'uuid')]
  mkdirSync(board, { recursive: true })
  if (!existsSync(variables)) copyFileSync(FIRMWARE_VARIABLES, variables)
  if (!existsSync(id)) writeFileSync(id, randomUUID())
  if (hasTpm && !existsSync(tpm)) {
    mkdirSync(tpm)
    const made = spawnSync('swtpm_setup', ['--tpm2', '--tpmstate', tpm, '--pcr-banks', 'sha256'], { encoding: 'utf8' })
    if (made.status !== 0) throw new Error(`swtpm_setup: ${made.stdout}${made.stderr}`)
  }
  return { uuid: readFileSync(id, 'utf8'), variables, tpm }
}

/** Each another one: all are taken before one is given back. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map(server => (server.address() as AddressInfo).port)
  await Promise.all(servers.map(server => once(server.close(), 'close')))
  return ports
}

/** Tries until somebody listens there. */
async function connected(socket: string): Promise<ReturnType<typeof createConnection>> {
  const until_ms = performance.now() + SOCKET_WAIT_MS
  for (;;) {
    const connection = createConnection(socket)
    const isOpen = await new Promise<boolean>(done => connection.once('connect', () => done(true)).once('error', () => done(false)))
    if (isOpen) return connection
    if (performance.now() > until_ms) throw new Error(`nobody listens at ${socket}`)
    await new Promise(done => setTimeout(done, 20))
  }
}

/** A socket file is there once its server listens; connecting would use up the one connection that some of them take. */
async function socketThere(socket: string): Promise<void> {
  const until_ms = performance.now() + SOCKET_WAIT_MS
  while (!existsSync(socket)) {
    if (performance.now() > until_ms) throw new Error(`${socket} did not appear`)
    await new Promise(done => setTimeout(done, 20))
  }
}

async function openControl(socket: string): Promise<Machine['control']> {
  const connection = await connected(socket)
  const answers: ((line: { return?: unknown; error?: unknown }) => void)[] = []
  connection.on('error', () => {})
  connection.once('close', () => {
    for (const answer of answers.splice(0)) answer({ error: 'the machine is off' })
  })
  const lines = createInterface(connection)
  // It passes on what its input says.
  lines.on('error', () => {})
  lines.on('line', line => {
    const said = JSON.parse(line) as { return?: unknown; error?: unknown }
    if ('return' in said || 'error' in said) answers.shift()?.(said)
  })
  const control: Machine['control'] = async (execute, arguments_) =>
    new Promise((resolved, reject) => {
      if (connection.closed) {
        reject(new Error(`${execute}: the machine is off`))
        return
      }
      answers.push(said => ('error' in said ? reject(new Error(`${execute}: ${JSON.stringify(said.error)}`)) : resolved(said.return)))
      connection.write(`${JSON.stringify({ execute, arguments: arguments_ ?? {} })}\n`)
    })
  await control('qmp_capabilities')
  return control
}

function processorTime_ms(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return 0
  }
}
