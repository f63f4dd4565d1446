// A whole site for a test: an appliance and agents, as processes, run by the commands that a user would type.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { createRunning } from './running.ts'

export const PASSWORD = 'a password for tests'

export type TestSite = {
  /** For whatever a test needs; removed at the end. */
  readonly folder: string
  readonly home: string
  readonly authority: string
  readonly storage: string
  /** A command of holdfast-appliance; throws unless it ends with 0. */
  appliance(...parameters: string[]): Promise<string>
  /** A command of the agent with this home, however it ends. */
  agent(home: string, ...parameters: string[]): Promise<Ended>
  /** The same with --json; throws unless it ends with 0. */
  agentJson<Answer>(home: string, ...parameters: string[]): Promise<Answer>
  link(): Promise<string>
  /** A paired agent; returns its home. */
  pair(name: string, ...parameters: string[]): Promise<string>
  /** Starts authority and storage node; resolves when both are ready. */
  start(environment?: Readonly<Record<string, string>>): Promise<void>
  /** SIGTERM, and waits. */
  stop(): Promise<void>
  /** kill -9 of one of the processes, and waits until all of `run` is gone or works again. */
  kill(which: 'authority' | 'storage'): Promise<void>
  close(): Promise<void>
}

export type SiteOptions = {
  readonly folder?: string
  readonly initEnvironment?: Readonly<Record<string, string>>
  /** The connection file of a keystore. */
  readonly keystore?: string
}

export async function makeSite(options: SiteOptions = {}): Promise<TestSite> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'holdfast-site-'))
  const home = join(folder, 'appliance')
  const password = join(folder, 'password')
  mkdirSync(folder, { recursive: true })
  writeFileSync(password, `${PASSWORD}\n`, { mode: 0o600 })
  const [authorityPort, storagePort] = await Promise.all([freePort(), freePort()])
  const running = createRunning('holdfast-appliance')

  const checked = (ended: Ended, what: string): Ended => {
    if (ended.code !== 0) throw new Error(`${what} ended with ${ended.code ?? ended.signal}: ${ended.err}`)
    return ended
  }
  const site: TestSite = {
    folder,
    home,
    authority: `https://127.0.0.1:${authorityPort}`,
    storage: `https://127.0.0.1:${storagePort}`,
    async appliance(...parameters) {
      return checked(await holdfast([...parameters, '--home', home], { launcher: 'holdfast-appliance' }), `holdfast-appliance ${parameters.join(' ')}`).out
    },
    agent: (agentHome, ...parameters) => holdfast([...parameters, '--home', agentHome]),
    async agentJson<Answer>(agentHome: string, ...parameters: string[]) {
      return JSON.parse(checked(await holdfast([...parameters, '--json', '--home', agentHome]), `holdfast ${parameters.join(' ')}`).out) as Answer
    },
    async link() {
      return (await site.appliance('link', 'ann')).split('\n').find(line => line.startsWith('holdfast://')) ?? ''
    },
    async pair(name, ...parameters) {
      const agentHome = join(folder, name)
      checked(await holdfast(['pair', await site.link(), '--home', agentHome, '--password-file', password, ...parameters]), 'pair')
      return agentHome
    },
    start: environment => running.start(['run', '--home', home], environment),
    stop: running.stop,
    async kill(which) {
      const victim = running.pid === undefined ? undefined : childrenOf(running.pid).find(pid => commandLineOf(pid).includes(`${which}/main`))
      if (victim === undefined) throw new Error(`no process of the ${which} is running`)
      process.kill(victim, 'SIGKILL')
      // Whether the other one goes on is for `run` to say; a test starts all of it again.
      await site.stop()
    },
    async close() {
      await site.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  const init = [
    'init',
    '--home',
    home,
    '--listen',
    '127.0.0.1',
    '--authority-port',
    `${authorityPort}`,
    '--storage-port',
    `${storagePort}`,
    '--keystore',
    options.keystore ?? 'none',
    ...(options.keystore === undefined ? [] : ['--slots-ready', '3']),
  ]
  checked(await holdfast(init, { launcher: 'holdfast-appliance', ...(options.initEnvironment ? { environment: options.initEnvironment } : {}) }), 'init')
  return site
}

/** A site that runs, with the user ann. */
export async function startSite(options: SiteOptions = {}): Promise<TestSite> {
  const site = await makeSite(options)
  await site.start()
  await site.appliance('user', 'add', 'ann', '--password-file', join(site.folder, 'password'))
  return site
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) === parent
      } catch {
        return false
      }
    })
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

export function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
