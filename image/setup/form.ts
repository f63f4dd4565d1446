// The form of the page as the settings that it means, and back into the form when something has to be put right. What was
// typed is only carried over here; settings.ts checks it.
import { fault } from './errors.ts'
import type { Network } from './network.ts'
import type { Time } from './time.ts'

/** Fields of the form, in their order. Secrets and files are never given back. */
export const FIELDS = [
  'code',
  'address',
  'administrator',
  'password',
  'password_again',
  'keystore',
  'interface',
  'ipv4',
  'ipv4_address',
  'ipv4_gateway',
  'ipv6',
  'ipv6_address',
  'ipv6_gateway',
  'dns',
  'time_servers',
  'zone',
] as const
export type Field = (typeof FIELDS)[number]
export type Form = Readonly<Record<Field, string>>

const EMPTY = Object.fromEntries(FIELDS.map(name => [name, ''])) as Record<Field, string>

/** The form as it is first shown: the machine's settings as they are, which a USB stick may have set. */
export function formNow(network: Network, time: Time): Form {
  const { ipv4, ipv6 } = network
  return {
    ...EMPTY,
    interface: network.interface ?? '',
    ipv4: ipv4.method,
    ipv6: ipv6.method,
    ...(ipv4.method === 'static' ? { ipv4_address: ipv4.address, ipv4_gateway: ipv4.gateway ?? '' } : {}),
    ...(ipv6.method === 'static' ? { ipv6_address: ipv6.address, ipv6_gateway: ipv6.gateway ?? '' } : {}),
    dns: network.dns.join(' '),
    time_servers: time.servers.join(' '),
    zone: time.zone,
  }
}

/** Where the field of a fault is on the form. */
export const FIELD_OF: Readonly<Record<string, Field>> = {
  address: 'address',
  'administrator.name': 'administrator',
  'administrator.password': 'password',
  password_again: 'password_again',
  keystore: 'keystore',
  'network.ipv4.address': 'ipv4_address',
  'network.ipv4.gateway': 'ipv4_gateway',
  'network.ipv6.address': 'ipv6_address',
  'network.ipv6.gateway': 'ipv6_gateway',
  'network.dns': 'dns',
  network: 'interface',
  'time.servers': 'time_servers',
  'time.zone': 'zone',
}

/** @param body  as a browser sends it, urlencoded or multipart */
export async function readForm(body: Buffer, contentType: string): Promise<Map<string, string>> {
  const fields = new Map<string, string>()
  try {
    const data = await new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData()
    for (const [name, value] of data) if (!fields.has(name)) fields.set(name, typeof value === 'string' ? value.trim() : await value.text())
  } catch (cause) {
    throw fault('SETTING_INVALID', { expected: 'a form', found: 'something else', facts: { field: '' }, cause })
  }
  return fields
}

export const formOf = (fields: ReadonlyMap<string, string>): Form =>
  Object.fromEntries(FIELDS.map(name => [name, fields.get(name) ?? ''])) as Record<Field, string>

/** @throws SETTING_INVALID */
export function settingsOf(form: Form): object {
  if (form.password !== form.password_again)
    throw fault('SETTING_INVALID', { expected: 'the same password twice', found: 'two', facts: { field: 'password_again' } })
  return {
    address: form.address.toLowerCase(),
    administrator: { name: form.administrator, password: form.password },
    keystore: connectionOf(form.keystore),
    network: {
      version: 1,
      ...(form.interface === '' ? {} : { interface: form.interface }),
      ipv4: addressOf(form.ipv4, form.ipv4_address, form.ipv4_gateway),
      ipv6: addressOf(form.ipv6, form.ipv6_address, form.ipv6_gateway),
      dns: words(form.dns),
    },
    time: { version: 1, servers: words(form.time_servers), zone: form.zone },
  }
}

const addressOf = (method: string, address: string, gateway: string): object =>
  method === 'static' ? { method, address, ...(gateway === '' ? {} : { gateway }) } : { method }

const words = (text: string): string[] => text.split(/[\s,]+/).filter(word => word !== '')

function connectionOf(text: string): unknown {
  if (text.trim() === '') return null
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}
