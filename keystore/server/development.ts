// A keystore for development: one node that keeps its data in a home and unseals itself, because its shares lie beside its
// data. Whoever has the home has the keystore. Invariants:
//   one process at a time uses a home;
//   there is no root token but while it is being set up: each start makes one from the shares, and revokes it.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Check, type Static, Type } from '#protocol/typebox.js'
import type { Caller } from './ask.ts'
import { makeCa, makeClient, makeServer } from './certificates.ts'
import { until } from './conditions.ts'
import { HOST } from './configuration.ts'
import { fault } from './errors.ts'
import { createNode, makeNodeFolder, type Node } from './node.ts'
import { freePorts } from './ports.ts'
import { makeRootToken, revokeToken } from './root-token.ts'
import { writeWhole } from './whole-file.ts'

const ACTIVE_TIMEOUT_MS = 60_000
const Pem = Type.String({ minLength: 1, maxLength: 16_384 })
const Port = Type.Integer({ minimum: 1, maximum: 65_535 })

/** development.json: what a home has besides the node's own folder. */
const Development = Type.Object({
  version: Type.Literal(1),
  port: Port,
  cluster_port: Port,
  ca: Pem,
  certificate: Pem,
  key: Pem,
  /** Absent until the keystore has been initialised. */
  shares: Type.Optional(Type.Array(Type.String({ pattern: '^[0-9a-f]{66}$' }), { minItems: 3, maxItems: 9 })),
})
type Development = Static<typeof Development>

export type DevelopmentServer = {
  readonly address: string
  /** How its one client reaches it: an appliance's. */
  readonly caller: Caller
  /** Runs what needs a root token, and revokes the token whatever happens. */
  withRootToken<Result>(use: (token: string) => Promise<Result>): Promise<Result>
  /** Resolves when the server has ended. */
  ended(): Promise<void>
  logEnd(): string
  /** Ends the server and gives the home back. */
  stop(): Promise<void>
}

/**
 * Opens a home, or makes a new one, and runs its node: unsealed and active when this returns.
 *
 * @param alsoAt  other names or addresses of this machine, for the certificate of a new home
 * @throws KEYSTORE_HOME_BUSY, KEYSTORE_HOME_DAMAGED, KEYSTORE_SERVER_FAILED; then nothing runs
 */
export async function startDevelopment(home: string, program: string, signal: AbortSignal, alsoAt: readonly string[] = []): Promise<DevelopmentServer> {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const unlock = await lock(home)
  let node: Node | undefined
  const stop = async (): Promise<void> => {
    await node?.stop()
    unlock()
  }
  try {
    const folder = join(home, 'server')
    const file = join(home, 'development.json')
    let settings = existsSync(file) ? read(file) : await makeHome(folder, file, alsoAt)
    const { port, cluster_port, ca, certificate, key } = settings
    const caller = { ca, certificate, key }
    const running = createNode(program, folder, { id: 'n1', port, cluster_port, peers: [], makesRoot: true }, caller)
    node = running
    await running.start(signal)
    if (!settings.shares) {
      if (await running.isInitialized()) throw fault('KEYSTORE_HOME_DAMAGED', { expected: `the shares in ${file}`, found: 'none' })
      const { shares, rootToken } = await running.initialize()
      settings = { ...settings, shares: [...shares] }
      writeWhole(file, JSON.stringify(settings))
      await running.unseal(shares, signal)
      await untilActive(running, signal)
      await revokeToken(running, rootToken)
    } else {
      await running.unseal(settings.shares, signal)
      await untilActive(running, signal)
    }
    const shares = settings.shares ?? []
    return {
      address: running.address,
      caller,
      async withRootToken(use) {
        const token = await makeRootToken(running, shares)
        const result = await use(token).catch(async (error: unknown) => {
          // What went wrong first is what is told.
          await revokeToken(running, token).catch(() => {})
          throw error
        })
        await revokeToken(running, token)
        return result
      },
      ended: running.ended,
      logEnd: running.logEnd,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const untilActive = async (node: Node, signal: AbortSignal): Promise<unknown> =>
  until(node.isActive, { what: `${node.address} to be active`, timeout_ms: ACTIVE_TIMEOUT_MS, explain: node.logEnd, signal })

async function makeHome(folder: string, file: string, alsoAt: readonly string[]): Promise<Development> {
  const [serversCa, clientsCa, [port = 0, cluster_port = 0]] = await Promise.all([makeCa('keystore servers'), makeCa('keystore clients'), freePorts(2)])
  const [server, client] = await Promise.all([makeServer(serversCa, 'keystore', [HOST, ...alsoAt]), makeClient(clientsCa, 'appliance')])
  makeNodeFolder(folder, server, serversCa.certificate, clientsCa.certificate)
  const settings: Development = { version: 1, port, cluster_port, ca: serversCa.certificate, ...client }
  writeWhole(file, JSON.stringify(settings))
  return settings
}

function read(file: string): Development {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw fault('KEYSTORE_HOME_DAMAGED', { found: file, cause })
  }
  if (!Check(Development, value)) throw fault('KEYSTORE_HOME_DAMAGED', { expected: 'version 1 and what belongs to it', found: file })
  return value
}

/** A listening socket in Linux's abstract namespace: the system frees it when the process ends, however that happens. */
async function lock(home: string): Promise<() => void> {
  const name = createHash('sha256').update(realpathSync(home)).digest('hex').slice(0, 40)
  const server = createServer(socket => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' ? fault('KEYSTORE_HOME_BUSY', { found: home }) : error))
    server.listen(`\0holdfast-keystore-${name}`, resolve)
  })
  server.unref()
  return () => void server.close()
}
