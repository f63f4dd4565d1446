// A machine of its own for a test: a scratch folder as the root of the file system, with the real set-up server and the
// real finishing step in it. As root, each runs as on an appliance: the server as another user, the step as root.
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { placesUnder } from '#image-setup/places.ts'

const ROOM = join(import.meta.dirname, '../../image/setup')
export const isRoot = process.getuid?.() === 0
export const SETUP_USER = 7443
export const AUTHORITY_USER = isRoot ? 7400 : (process.getuid?.() ?? 0)
export const STORAGE_USER = isRoot ? 7401 : (process.getuid?.() ?? 0)
export const RECOVERY_KEY = 'cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-vutrnlkj-ihgfedbc-cccccccc-dddddddd'

export type Answer = { readonly status: number; readonly text: string; readonly headers: Readonly<Record<string, unknown>>; readonly fingerprint: string }
export type Machine = Awaited<ReturnType<typeof makeMachine>>
export type Server = { readonly process: ChildProcess; readonly port: number; readonly ended: Promise<number | null>; said(): string }

export async function makeMachine() {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-machine-'))
  chmodSync(root, 0o755)
  const places = placesUnder(root)
  for (const folder of [join(places.home, 'network'), dirname(places.draft), dirname(places.shown), dirname(places.recoveryKey), dirname(places.users)])
    mkdirSync(folder, { recursive: true })
  mkdirSync(dirname(places.interfaces), { recursive: true })
  symlinkSync('/sys/class/net', places.interfaces)
  writeFileSync(
    places.users,
    `root:x:0:0::/:\nholdfast-authority:x:${AUTHORITY_USER}:${AUTHORITY_USER}::/:\nholdfast-storage:x:${STORAGE_USER}:${STORAGE_USER}::/:\n`,
  )
  writeFileSync(places.recoveryKey, `${RECOVERY_KEY}\n`, { mode: 0o640 })
  if (isRoot) for (const given of [dirname(places.draft), dirname(places.shown), places.recoveryKey]) chownSync(given, SETUP_USER, SETUP_USER)
  const steps = new Set<ChildProcess>()
  let injected: string | undefined
  // What holdfast-finish.socket does: one process a connection, which is its stdin and stdout.
  const door = createServer({ pauseOnConnect: true }, socket => {
    const words = [process.execPath, join(ROOM, 'finish.ts'), '--root', root]
    const [program = '', ...rest] = injected === undefined ? words : ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `inject=${injected}`, ...words]
    const step = spawn(program, rest, { stdio: [socket, socket, 'pipe'] })
    steps.add(step)
    step.once('exit', () => steps.delete(step))
    socket.destroy()
  })
  await new Promise<void>(resolve => door.listen(places.door, resolve))
  if (isRoot) chownSync(places.door, SETUP_USER, SETUP_USER)
  const servers: Server[] = []
  return {
    root,
    places,
    steps,
    /** What strace does to the finishing step from now on, as `rename:signal=KILL:when=3`. */
    inject(what: string | undefined) {
      injected = what
    },
    /** Starts the set-up server; undefined if there is a site, so that it ends by itself. */
    async start(): Promise<Server | undefined> {
      const as = isRoot ? { uid: SETUP_USER, gid: SETUP_USER } : {}
      const child = spawn(process.execPath, [join(ROOM, 'main.ts'), '--root', root, '--port', '0', '--host', '127.0.0.1'], {
        stdio: ['ignore', 'pipe', 'pipe'],
        ...as,
      })
      let said = ''
      child.stderr.on('data', (part: Buffer) => {
        said += part.toString('utf8')
      })
      const ended = new Promise<number | null>(resolve => child.once('close', code => resolve(code)))
      const line = await Promise.race([new Promise<string>(resolve => createInterface(child.stdout).once('line', resolve)), ended.then(() => undefined)])
      if (line === undefined) return undefined
      const server = { process: child, port: (JSON.parse(line) as { port: number }).port, ended, said: () => said }
      servers.push(server)
      return server
    },
    shown: () => JSON.parse(readFileSync(places.shown, 'utf8')) as { code: string; wrong: number; fingerprint: string },
    isSite: () => existsSync(places.config),
    async remove() {
      for (const server of servers) server.process.kill('SIGKILL')
      await Promise.all(servers.map(server => server.ended))
      await until(() => steps.size === 0)
      await new Promise(resolve => door.close(resolve))
      rmSync(root, { recursive: true, force: true })
    },
  }
}

export type Asked = { readonly headers?: Readonly<Record<string, string>>; readonly body?: Buffer | string; readonly from?: string }

/** One request; the connection is not kept. */
export function ask(server: Server, method: string, path: string, { headers = {}, body, from }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let fingerprint = ''
    const asked = request(
      {
        host: '127.0.0.1',
        port: server.port,
        method,
        path,
        headers,
        agent: false,
        rejectUnauthorized: false,
        ...(from === undefined ? {} : { localAddress: from }),
      },
      answer => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8'), headers: answer.headers, fingerprint }))
        answer.on('error', reject)
      },
    )
    asked.on('socket', socket => socket.once('secureConnect', () => (fingerprint = (socket as TLSSocket).getPeerCertificate().fingerprint256)))
    asked.on('error', reject)
    asked.end(body)
  })
}

export async function askJson(server: Server, path: string, body: unknown, from?: string): Promise<Answer & { readonly value: Record<string, unknown> }> {
  const answer = await ask(server, 'POST', path, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(from === undefined ? {} : { from }),
  })
  return { ...answer, value: JSON.parse(answer.text) as Record<string, unknown> }
}

export const SETTINGS = {
  address: 'backup.example.net',
  administrator: { name: 'ada', password: 'a long enough one' },
  keystore: null as unknown,
  network: { version: 1, ipv4: { method: 'dhcp' }, ipv6: { method: 'auto' }, dns: [] } as unknown,
  time: { version: 1, servers: [], zone: 'Europe/Berlin' } as unknown,
}

export async function until(holds: () => boolean): Promise<void> {
  const end_ms = performance.now() + 60_000
  while (!holds()) {
    if (performance.now() > end_ms) throw new Error(`never: ${holds.toString()}`)
    await wait(20)
  }
}
