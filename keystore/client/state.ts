// How each node is, for people and alarms.
import { isFault } from '#protocol/fault.ts'
import { HEALTH_ACTIVE, healthOf } from './answers.ts'
import type { Transport } from './transport.ts'

export type NodeState = 'active' | 'standby' | 'sealed' | 'uninitialised' | 'unreachable' | 'untrusted' | 'audit-full' | 'unknown'
export type NodeReport = { readonly address: string; readonly state: NodeState }

const BY_HEALTH: Readonly<Record<number, NodeState>> = {
  [HEALTH_ACTIVE]: 'active',
  429: 'standby',
  472: 'standby',
  473: 'standby',
  501: 'uninitialised',
  503: 'sealed',
}
/** Needs no token and tells nothing, but is written into the audit log, so it fails when that cannot be written. */
const AUDITED_PATH = 'sys/internal/ui/mounts'
const AUDITED_MS = 2_000

/** Asks every node, all at once; a node that does not answer has a state too. */
export function statesOf(transport: Transport): Promise<NodeReport[]> {
  return Promise.all(transport.addresses.map(async address => ({ address, state: await stateOf(transport, address) })))
}

async function stateOf(transport: Transport, address: string): Promise<NodeState> {
  try {
    const state = BY_HEALTH[await healthOf(transport, address)] ?? 'unknown'
    if (state !== 'active') return state
    const { status } = await transport.send({ address, method: 'GET', path: AUDITED_PATH, timeout_ms: AUDITED_MS })
    return status === 500 ? 'audit-full' : state
  } catch (error) {
    if (isFault(error, 'KEYSTORE_UNTRUSTED')) return 'untrusted'
    if (isFault(error)) return 'unreachable'
    throw error
  }
}
