// A keystore of one or three nodes on this machine, new in each folder: a real one, for tests and benchmarks. It is as in
// production but for this: its shares and its root token are in our hands, and its nodes share a machine and vote sooner.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '#protocol/typebox.js'
import type { Caller } from './ask.ts'
import { type KeyAndCertificate, makeCa, makeClient, makeServer } from './certificates.ts'
import { until } from './conditions.ts'
import { addressOf, FILES, HOST } from './configuration.ts'
import { fault } from './errors.ts'
import { findServer } from './find-server.ts'
import { createNode, makeNodeFolder, type Node } from './node.ts'
import { freePorts } from './ports.ts'

/** A leader that died is followed by another within about four seconds; a machine with much to do takes longer. */
const ACTIVE_TIMEOUT_MS = 60_000
const VOTERS_TIMEOUT_MS = 120_000

export type ClusterNode = {
  readonly address: string
  /** Of the server's process, while it runs. */
  readonly pid: number | undefined
  isActive(): Promise<boolean>
  /** kill -9; returns once it is gone. */
  kill(): Promise<void>
  /** Starts it again; returns once it listens, sealed. */
  start(): Promise<void>
  /** Only the active node can be told to seal itself; another one is restarted, which seals it as well. */
  seal(): Promise<void>
  unseal(): Promise<void>
}

export type Cluster = {
  readonly addresses: readonly string[]
  /** Of the servers' certificates, in PEM. */
  readonly ca: string
  /** A client that may connect, in PEM. */
  readonly clientCertificate: string
  readonly clientKey: string
  /** Another one. */
  makeClient(name: string): Promise<KeyAndCertificate>
  readonly rootToken: string
  /** Five, in hex; any three unseal. */
  readonly shares: readonly string[]
  readonly nodes: readonly ClusterNode[]
  /** Of every node, two each; requests are in those of the node that was active. */
  readonly auditFiles: readonly string[]
  /** Waits until one node is active, and returns it. @throws KEYSTORE_SERVER_FAILED */
  active(): Promise<ClusterNode>
  /** Ends every node; the folder stays. */
  stop(): Promise<void>
}

/**
 * Starts a new keystore, unsealed and active; with three nodes all of them are voters, so that any one may die.
 *
 * @param folder  new, or empty; everything goes there
 * @throws KEYSTORE_SERVER_MISSING, KEYSTORE_SERVER_UNFIT, KEYSTORE_SERVER_ALTERED, KEYSTORE_SERVER_FAILED; then nothing runs
 */
export async function startCluster(folder: string, { nodes: count }: { readonly nodes: 1 | 3 }): Promise<Cluster> {
  const program = await findServer()
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const [serversCa, clientsCa, ports] = await Promise.all([makeCa('keystore servers'), makeCa('keystore clients'), freePorts(2 * count)])
  const admin = await makeClient(clientsCa, 'admin')
  const caller: Caller = { ca: serversCa.certificate, ...admin }
  const addresses = ports.slice(0, count).map(addressOf)
  const nodes = await Promise.all(
    addresses.map(async (address, at) => {
      const id = `n${at + 1}`
      makeNodeFolder(join(folder, id), await makeServer(serversCa, id, [HOST]), serversCa.certificate, clientsCa.certificate)
      const settings = { id, port: Number(new URL(address).port), cluster_port: ports[count + at] ?? 0, makesRoot: false }
      return createNode(program, join(folder, id), { ...settings, peers: addresses.filter(other => other !== address) }, caller)
    }),
  )
  const stop = async (): Promise<void> => void (await Promise.all(nodes.map(node => node.stop())))
  try {
    await Promise.all(nodes.map(node => node.start()))
    const { shares, rootToken } = await first(nodes).initialize()
    await first(nodes).unseal(shares)
    const waiting = { timeout_ms: ACTIVE_TIMEOUT_MS, explain: first(nodes).logEnd }
    await until(first(nodes).isActive, { what: 'an active node', ...waiting })
    if (count > 1) await giveVotesSoon(first(nodes), rootToken)
    await Promise.all(nodes.slice(1).map(node => node.unseal(shares)))
    await untilVoters(first(nodes), count, rootToken)
    const clusterNodes = nodes.map(node => clusterNode(node, shares, rootToken))
    return {
      addresses,
      ca: serversCa.certificate,
      clientCertificate: admin.certificate,
      clientKey: admin.key,
      makeClient: name => makeClient(clientsCa, name),
      rootToken,
      shares,
      nodes: clusterNodes,
      auditFiles: nodes.flatMap(node => FILES.audits.map(file => join(node.folder, file))),
      active: () =>
        until(
          async () => {
            const answers = await Promise.all(clusterNodes.map(async node => ((await node.isActive()) ? node : undefined)))
            return answers.find(node => node !== undefined)
          },
          { what: 'an active node', ...waiting },
        ),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function clusterNode(node: Node, shares: readonly string[], token: string): ClusterNode {
  return {
    address: node.address,
    get pid() {
      return node.pid
    },
    isActive: node.isActive,
    kill: node.kill,
    start: node.start,
    unseal: () => node.unseal(shares),
    async seal() {
      if (await node.isActive()) {
        const { status } = await node.ask({ method: 'PUT', path: 'sys/seal', token })
        if (status !== 204) throw fault('KEYSTORE_SERVER_FAILED', { expected: `${node.address} to seal itself`, found: `${status || 'no answer'}` })
      } else {
        await node.stop()
        await node.start()
      }
    },
  }
}

/** A node that joined gets its vote when it has been steady for ten seconds; here for one, so that tests begin 10 s sooner. */
async function giveVotesSoon(node: Node, token: string): Promise<void> {
  const body = { server_stabilization_time: '1s' }
  const { status } = await node.ask({ method: 'PUT', path: 'sys/storage/raft/autopilot/configuration', body, token })
  if (status !== 204) throw fault('KEYSTORE_SERVER_FAILED', { expected: 'votes to be given soon', found: `${status || 'no answer'}` })
}

const RaftConfiguration = Type.Object({ data: Type.Object({ config: Type.Object({ servers: Type.Array(Type.Object({ voter: Type.Boolean() })) }) }) })

/** Until all have a vote, nobody can take the leader's place. */
async function untilVoters(node: Node, count: number, token: string): Promise<void> {
  await until(
    async () => {
      const { data } = await node.askFor(RaftConfiguration, { method: 'GET', path: 'sys/storage/raft/configuration', token })
      return data.config.servers.filter(({ voter }) => voter).length === count
    },
    { what: `${count} voters`, timeout_ms: VOTERS_TIMEOUT_MS, explain: node.logEnd },
  )
}

function first(nodes: readonly Node[]): Node {
  const [node] = nodes
  if (!node) throw new Error('a cluster has a node')
  return node
}
