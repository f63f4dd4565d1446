// The part of a draft that the finishing step, as root, puts into the machine; everything else of a draft it only moves.
import { isIP } from 'node:net'
import { Thumbprint } from '#protocol/names.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { checkNetwork, type Network } from './network.ts'
import { checkTime, type Time } from './time.ts'

export const MACHINE_PART = 'machine.json'
export const MACHINE_PART_BYTES_MAX = 64 * 1024
const Port = Type.Integer({ minimum: 1, maximum: 65_535 })

/** What everybody may know of a site. */
export const SiteFacts = Type.Object(
  {
    address: Type.String({ pattern: '^[a-z0-9.:-]{1,253}$' }),
    authority_port: Port,
    storage_port: Port,
    ca_sha256: Thumbprint,
  },
  { additionalProperties: false },
)
export type SiteFacts = Static<typeof SiteFacts>

const Shape = Type.Object(
  {
    site: SiteFacts,
    network: Type.Unknown(),
    time: Type.Unknown(),
    /** Where the keystore listens. */
    keystore: Type.Array(Type.Object({ host: Type.String({ pattern: '^[A-Za-z0-9.:-]{1,253}$' }), port: Port }, { additionalProperties: false }), {
      maxItems: 9,
    }),
  },
  { additionalProperties: false },
)
export type Keystore = Static<typeof Shape>['keystore']
export type MachinePart = { readonly site: SiteFacts; readonly network: Network; readonly time: Time; readonly keystore: Keystore }

/** @throws DRAFT_INVALID, NETWORK_INVALID, TIME_INVALID */
export function parseMachinePart(text: string): MachinePart {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw fault('DRAFT_INVALID', { found: MACHINE_PART, cause })
  }
  if (!Check(Shape, value)) throw fault('DRAFT_INVALID', { found: MACHINE_PART })
  return { ...value, network: checkNetwork(value.network), time: checkTime(value.time) }
}

/** https://host:port of each node, as in a connection file. */
export const keystoreOf = (addresses: readonly string[]): Keystore =>
  addresses.map(address => {
    const { hostname, port } = new URL(address)
    return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port) }
  })

/**
 * What the firewall adds to its sets: where the authority's user may connect to. A node that has a name may have any
 * address, so for it the port alone is opened, and for that one user.
 */
export function keystoreRules(keystore: Keystore): string {
  const element = (set: string, value: string): string => `add element inet holdfast ${set} { ${value} }\n`
  const lines = keystore.map(({ host, port }) => {
    const family = isIP(host)
    return family === 0 ? element('keystore_ports', `${port}`) : element(`keystore_v${family}`, `${host} . ${port}`)
  })
  return [...new Set(lines)].join('')
}
