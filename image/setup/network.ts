// The network settings: one JSON shape for the form, the machine act and the file on a USB stick, and what
// systemd-networkd makes of it. Whatever they say, every wired interface keeps its link-local addresses (169.254/16 and
// fe80::/10), so that an appliance with wrong settings is reached over a direct cable.
import { BlockList, isIP } from 'node:net'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

export const NETWORK_FILE_BYTES_MAX = 64 * 1024
const DNS_MAX = 4
const Ip = Type.String({ pattern: '^[0-9a-fA-F:.]{2,45}$' })
const IpAndPrefix = Type.String({ pattern: '^[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?$' })
const closed = { additionalProperties: false }

const Static_ = Type.Object({ method: Type.Literal('static'), address: IpAndPrefix, gateway: Type.Optional(Ip) }, closed)
const LinkLocal = Type.Object({ method: Type.Literal('link-local') }, closed)

export const Network = Type.Object(
  {
    version: Type.Literal(1),
    /** The name or the hardware address of the interface; without it the first wired one by name. */
    interface: Type.Optional(Type.String({ pattern: '^([a-z][a-z0-9]{0,14}|([0-9a-f]{2}:){5}[0-9a-f]{2})$' })),
    ipv4: Type.Union([Type.Object({ method: Type.Literal('dhcp') }, closed), Static_, LinkLocal]),
    /** auto: by router advertisements, and DHCPv6 where they say so. */
    ipv6: Type.Union([Type.Object({ method: Type.Literal('auto') }, closed), Static_, LinkLocal]),
    dns: Type.Array(Ip, { maxItems: DNS_MAX }),
  },
  closed,
)
export type Network = Static<typeof Network>

export const NETWORK_DEFAULT: Network = { version: 1, ipv4: { method: 'dhcp' }, ipv6: { method: 'auto' }, dns: [] }

/** @throws NETWORK_INVALID */
export function checkNetwork(value: unknown): Network {
  if (!Check(Network, value)) throw fault('NETWORK_INVALID', { expected: 'the shape that SETUP.md gives', found: 'another', facts: { field: 'network' } })
  checkStatic(value, 4)
  checkStatic(value, 6)
  for (const server of value.dns) if (isIP(server) === 0) throw invalid('dns', 'addresses of name servers', server)
  return value
}

/** @throws NETWORK_INVALID */
export function parseNetwork(text: string): Network {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw fault('NETWORK_INVALID', { expected: 'JSON', found: 'something else' })
  }
  return checkNetwork(value)
}

/** What no machine can have as its own: this net, loopback, multicast and above, link-local, mapped. */
const NEVER = { 4: new BlockList(), 6: new BlockList() } as const
NEVER[4].addSubnet('0.0.0.0', 8, 'ipv4')
NEVER[4].addSubnet('127.0.0.0', 8, 'ipv4')
NEVER[4].addSubnet('224.0.0.0', 3, 'ipv4')
NEVER[6].addSubnet('::', 127, 'ipv6')
NEVER[6].addSubnet('::ffff:0:0', 96, 'ipv6')
NEVER[6].addSubnet('fe80::', 10, 'ipv6')
NEVER[6].addSubnet('ff00::', 8, 'ipv6')

function checkStatic(network: Network, family: 4 | 6): void {
  const one = family === 4 ? network.ipv4 : network.ipv6
  if (one.method !== 'static') return
  const field = `ipv${family}`
  const kind = `ipv${family}` as const
  const [ip = '', length = '', more] = one.address.split('/')
  const prefix = /^[1-9]\d{0,2}$/.test(length) ? Number(length) : 0
  if (more !== undefined || isIP(ip) !== family || prefix < 1 || prefix > (family === 4 ? 32 : 128))
    throw invalid(
      `${field}.address`,
      family === 4 ? 'an address and its prefix, as 192.0.2.10/24' : 'an address and its prefix, as 2001:db8::10/64',
      one.address,
    )
  if (NEVER[family].check(ip, kind)) throw invalid(`${field}.address`, 'an address that a machine can have', one.address)
  const { gateway } = one
  if (gateway === undefined) return
  const near = new BlockList()
  near.addSubnet(ip, prefix, kind)
  if (family === 6) near.addSubnet('fe80::', 10, 'ipv6')
  if (isIP(gateway) !== family || gateway === ip || !near.check(gateway, kind))
    throw invalid(`${field}.gateway`, `another address in the network of ${one.address}`, gateway)
}

const invalid = (field: string, expected: string, found: string) =>
  fault('NETWORK_INVALID', { expected: `${field}: ${expected}`, found: found.slice(0, 80), facts: { field: `network.${field}` } })

/**
 * The settings as a .network file of systemd-networkd. Nothing in them can begin a line of its own: shapes and addresses
 * were checked.
 *
 * @param wired  the wired interfaces there are, by name
 */
export function networkUnit(network: Network, wired: readonly string[]): string {
  const named = network.interface ?? [...wired].sort()[0]
  const match = named === undefined ? 'Type=ether\nKind=!*' : named.includes(':') ? `MACAddress=${named}` : `Name=${named}`
  const { ipv4, ipv6, dns } = network
  const lines = [
    '[Match]',
    match,
    '',
    '[Network]',
    `DHCP=${ipv4.method === 'dhcp' ? 'ipv4' : 'no'}`,
    `IPv6AcceptRA=${ipv6.method === 'auto' ? 'yes' : 'no'}`,
    'LinkLocalAddressing=yes',
    ...[ipv4, ipv6].flatMap(one =>
      one.method === 'static' ? [`Address=${one.address}`, ...(one.gateway === undefined ? [] : [`Gateway=${one.gateway}`])] : [],
    ),
    ...dns.map(server => `DNS=${server}`),
    '',
    '[DHCPv4]',
    'UseHostname=no',
    'UseTimezone=no',
    '',
    '[DHCPv6]',
    'UseHostname=no',
  ]
  return `${lines.join('\n')}\n`
}
