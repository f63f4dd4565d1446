// One node: a folder with all that it has, and the server's process that runs in it. Invariants:
//   a node that was started listens, or its start throws with the end of its log;
//   the process ends with ours, however ours ends: the system kills it (PR_SET_PDEATHSIG, by setpriv of util-linux), which raft
//   and audit bear as they bear a power cut. It has a process group of its own, so that Ctrl-C reaches us alone;
//   it gets no environment of ours: the server would take VAULT_* and BAO_* for its configuration.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Static, Type } from '#protocol/typebox.js'
import { type Asker, type Caller, createAsker } from './ask.ts'
import type { KeyAndCertificate } from './certificates.ts'
import { until } from './conditions.ts'
import { addressOf, configurationOf, FILES, type NodeSettings } from './configuration.ts'
import { fault } from './errors.ts'
import { writeWhole } from './whole-file.ts'

export const SHARES = 5
export const SHARES_NEEDED = 3
const START_TIMEOUT_MS = 60_000
const UNSEAL_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 15_000
const LOG_SHOWN_CHARS = 600

const SealStatus = Type.Object({ initialized: Type.Boolean(), sealed: Type.Boolean() })
const Share = Type.String({ pattern: '^[0-9a-f]{66}$' })
const Initialized = Type.Object({ keys: Type.Array(Share, { minItems: SHARES, maxItems: SHARES }), root_token: Type.String({ minLength: 8, maxLength: 200 }) })

export type Node = Asker & {
  readonly folder: string
  /** Of the server's process, while it runs. */
  readonly pid: number | undefined
  /** Resolves when the process that runs now has ended. */
  ended(): Promise<void>
  /** Starts the server; returns once it listens, sealed. @throws KEYSTORE_SERVER_FAILED */
  start(signal?: AbortSignal): Promise<void>
  /** SIGTERM; returns once it has ended. */
  stop(): Promise<void>
  /** kill -9; returns once it has ended. */
  kill(): Promise<void>
  /** Makes a new keystore: five shares, of which three open it, in hex. @throws KEYSTORE_SERVER_FAILED */
  initialize(): Promise<{ shares: readonly string[]; rootToken: string }>
  isInitialized(): Promise<boolean>
  /** Unseals it with the first three shares, when it has been initialised or has joined. @throws KEYSTORE_SERVER_FAILED */
  unseal(shares: readonly string[], signal?: AbortSignal): Promise<void>
  isActive(): Promise<boolean>
  /** The end of its log, for an error. */
  logEnd(): string
}

/** What a new node needs in its folder: its certificate, and the CAs. */
export function makeNodeFolder(folder: string, server: KeyAndCertificate, serversCa: string, clientsCa: string): void {
  for (const part of [FILES.data, ...FILES.audits.map(dirname)]) mkdirSync(join(folder, part), { recursive: true, mode: 0o700 })
  writeWhole(join(folder, FILES.key), server.key)
  writeWhole(join(folder, FILES.certificate), server.certificate)
  writeWhole(join(folder, FILES.ca), serversCa)
  // The other nodes are clients too, when they join.
  writeWhole(join(folder, FILES.clients), `${clientsCa}\n${serversCa}\n`)
}

/** A node that does not run yet, in a folder that was made. */
export function createNode(program: string, folder: string, settings: NodeSettings, caller: Caller): Node {
  const asker = createAsker(addressOf(settings.port), caller)
  const { address } = asker
  let running: { readonly process: ChildProcess; readonly ended: Promise<void> } | undefined
  let logFrom_bytes = 0

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = running
    if (!ending) return
    ending.process.kill(signal)
    const timer = setTimeout(() => ending.process.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await ending.ended
    clearTimeout(timer)
  }

  const node: Node = {
    ...asker,
    folder,
    get pid() {
      return running?.process.pid
    },
    ended: () => running?.ended ?? Promise.resolve(),
    async start(signal) {
      if (running) return
      writeWhole(join(folder, FILES.configuration), configurationOf(settings))
      const log = openSync(join(folder, FILES.log), 'a', 0o600)
      logFrom_bytes = fstatSync(log).size
      const [command, ...words] = [...BOUND_TO_US, program, 'server', `-config=${FILES.configuration}`]
      const child = spawn(command ?? program, words, { cwd: folder, env: { HOME: folder }, stdio: ['ignore', log, log], detached: true })
      closeSync(log)
      let cause: Error | undefined
      const ended = new Promise<void>(resolve => {
        child.once('error', error => {
          cause = error
          resolve()
        })
        child.once('exit', () => resolve())
      }).then(() => {
        if (running?.process === child) running = undefined
      })
      running = { process: child, ended }
      try {
        await until(
          async () => {
            if (running?.process !== child)
              throw fault('KEYSTORE_SERVER_FAILED', { expected: `to listen at ${address}`, found: cause?.message ?? node.logEnd(), cause })
            return (await asker.ask({ method: 'GET', path: 'sys/health' })).status !== 0
          },
          { what: `to listen at ${address}`, timeout_ms: START_TIMEOUT_MS, explain: node.logEnd, signal },
        )
      } catch (error) {
        await node.kill()
        throw error
      }
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async initialize() {
      const body = { secret_shares: SHARES, secret_threshold: SHARES_NEEDED }
      const { keys, root_token } = await asker.askFor(Initialized, { method: 'PUT', path: 'sys/init', body })
      return { shares: keys, rootToken: root_token }
    },
    isInitialized: async () => (await sealStatus()).initialized,
    async unseal(shares, signal) {
      const patience = { timeout_ms: UNSEAL_TIMEOUT_MS, explain: node.logEnd, signal }
      await until(node.isInitialized, { what: `${address} to be initialised`, ...patience })
      // Shares that somebody gave before count as progress, and a wrong one among them would spoil it.
      if ((await sealStatus()).sealed) await asker.askFor(SealStatus, { method: 'PUT', path: 'sys/unseal', body: { reset: true } })
      for (const key of shares.slice(0, SHARES_NEEDED)) await asker.askFor(SealStatus, { method: 'PUT', path: 'sys/unseal', body: { key } })
      await until(async () => !(await sealStatus()).sealed, { what: `${address} to be unsealed`, ...patience })
    },
    isActive: async () => (await asker.ask({ method: 'GET', path: 'sys/health' })).status === 200,
    logEnd: () => readFileSync(join(folder, FILES.log)).subarray(logFrom_bytes).toString('utf8').trim().slice(-LOG_SHOWN_CHARS),
  }
  const sealStatus = (): Promise<Static<typeof SealStatus>> => asker.askFor(SealStatus, { method: 'GET', path: 'sys/seal-status' })
  return node
}

const BOUND_TO_US = process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', '--'] : []
