// How the keystore is, for people and alarms: each node, and with a token also who votes and what the holders of shares are
// doing. What cannot be known is undefined, and said; it is never taken for good.
import { X509Certificate } from 'node:crypto'
import { checked } from '#keystore-client/answers.ts'
import type { Access } from '#keystore-client/connection.ts'
import { type NodeState, statesOf } from '#keystore-client/state.ts'
import type { Transport } from '#keystore-client/transport.ts'
import { isFault } from '#protocol/fault.ts'
import { type Static, type TSchema, Type } from '#protocol/typebox.js'
import { openOperatorSession } from './access.ts'
import type { Flood, FloodWatch } from './floods.ts'
import { certificateEnd } from './raw-request.ts'
import { type SealStatus, sealStatusOf } from './seal-status.ts'
import { lastSnapshot, type SnapshotEntry } from './snapshot-record.ts'

export type NodeStatus = {
  readonly address: string
  readonly state: NodeState
  readonly seal: SealStatus | undefined
  readonly certificate_end_ms: number | undefined
}

/** What only a token shows. */
export type Inside = {
  readonly voters: readonly string[] | undefined
  /** Whether somebody makes a root token, and new shares. */
  readonly is_making_root: boolean | undefined
  readonly is_making_shares: boolean | undefined
}

export type Status = {
  readonly nodes: readonly NodeStatus[]
  readonly client_certificate_end_ms: number
  /** Undefined without a token, or if no node is active. */
  readonly inside: Inside | undefined
  /** Undefined if no folder was named; null if there is none in it. */
  readonly snapshot: SnapshotEntry | null | undefined
  /** Undefined if no audit log was named. */
  readonly floods: readonly Flood[] | undefined
}

export type Looking = {
  readonly access: Access
  readonly transport: Transport
  readonly token?: string | undefined
  /** Whether the token's life is made longer by this. */
  readonly renews?: boolean
  /** The folder of snapshots. */
  readonly snapshots?: string | undefined
  readonly floods?: FloodWatch | undefined
}

const Voters = Type.Object({
  data: Type.Object({ config: Type.Object({ servers: Type.Array(Type.Object({ node_id: Type.String(), voter: Type.Boolean() })) }) }),
})
const Started = Type.Object({ data: Type.Object({ started: Type.Boolean() }) })

/** Looks at everything that can be seen. @throws SNAPSHOTS_DAMAGED, LOG_UNREADABLE */
export async function statusOf({ access, transport, token, renews, snapshots, floods }: Looking): Promise<Status> {
  const [states, seals, ends] = await Promise.all([
    statesOf(transport),
    Promise.all(access.addresses.map(address => orUndefined(sealStatusOf(transport, address)))),
    Promise.all(access.addresses.map(address => certificateEnd(access, address))),
  ])
  return {
    nodes: states.map(({ address, state }, at) => ({ address, state, seal: seals[at], certificate_end_ms: ends[at] })),
    client_certificate_end_ms: Date.parse(new X509Certificate(access.certificate).validTo),
    inside: token === undefined ? undefined : await orUndefined(insideOf(transport, token, renews)),
    snapshot: snapshots === undefined ? undefined : (lastSnapshot(snapshots) ?? null),
    floods: await floods?.look(Date.now()),
  }
}

/**
 * The same status with the seals as they are now, which leaves no line in the keystore's audit log.
 *
 * @returns undefined if a node was sealed, unsealed, came or went meanwhile: then everything must be looked at
 */
export async function sealsAgain(status: Status, transport: Transport): Promise<Status | undefined> {
  const nodes = await Promise.all(status.nodes.map(async node => ({ ...node, seal: await orUndefined(sealStatusOf(transport, node.address)) })))
  const isSame = nodes.every(({ seal }, at) => seal?.sealed === status.nodes[at]?.seal?.sealed && seal?.initialized === status.nodes[at]?.seal?.initialized)
  return isSame ? { ...status, nodes } : undefined
}

async function insideOf(transport: Transport, token: string, renews?: boolean): Promise<Inside> {
  const session = await openOperatorSession(transport, token, renews)
  const ask = async <Schema extends TSchema>(schema: Schema, path: string): Promise<Static<Schema>> => checked(schema, await session.read(path), path)
  const [voters, root, shares] = await Promise.all([
    orUndefined(ask(Voters, 'sys/storage/raft/configuration')),
    orUndefined(ask(Started, 'sys/generate-root-token/attempt')),
    orUndefined(ask(Started, 'sys/rotate/root/init')),
  ])
  return {
    voters: voters?.data.config.servers.filter(({ voter }) => voter).map(({ node_id }) => node_id),
    is_making_root: root?.data.started,
    is_making_shares: shares?.data.started,
  }
}

/** A node that does not answer, or does not permit it, has told nothing. */
const orUndefined = <Value>(asked: Promise<Value>): Promise<Value | undefined> =>
  asked.catch((error: unknown) => {
    if (isFault(error)) return undefined
    throw error
  })
