// The home of a site: what `init` makes. Everything is 0700 and 0600. config.json is written last: without it, `init`
// begins anew, so a crash half way leaves nothing that looks finished.
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Check } from 'typebox/value'
import { type KeyAndCertificate, makeCa, makeServer, thumbprintOf } from './certificates.ts'
import { fault } from './errors.ts'
import { SlotsReady } from './state.ts'

const HOME_VERSION = 1
const Port = Type.Integer({ minimum: 1, maximum: 65_535 })

export const HomeConfig = Type.Object({
  version: Type.Literal(HOME_VERSION),
  listen: Type.String({ minLength: 1, maxLength: 255 }),
  /** What agents reach it at, where that is not what it listens on. */
  address: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  authority_port: Port,
  storage_port: Port,
  /** escrow: authority/keystore.json says which. */
  keystore: Type.Union([Type.Literal('none'), Type.Literal('escrow')]),
  /** Slots of each tenant that are kept ready for new users. */
  slots_ready: Type.Optional(SlotsReady.properties.count),
})
export type HomeConfig = Static<typeof HomeConfig>
export const AUTHORITY_PORT_DEFAULT = 7400
export const STORAGE_PORT_DEFAULT = 7401

/**
 * Makes a site: CA, certificates, ticket keys and both configurations.
 *
 * @param options     listen: the address or name that agents reach it at, unless address says another; 0.0.0.0 listens everywhere and names this host
 * @param connection  to the keystore, unless there is none: the text of its connection file
 * @throws SITE_EXISTS
 */
export async function initHome(
  home: string,
  options: Omit<HomeConfig, 'version' | 'keystore'>,
  connection: string | undefined,
  now_ms: number,
): Promise<{ ca_sha256: string }> {
  if (existsSync(join(home, 'config.json'))) throw fault('SITE_EXISTS', { found: home })
  for (const folder of [home, join(home, 'authority'), join(home, 'storage')]) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const ca = await makeCa('Holdfast site', now_ms)
  const hosts = [options.address ?? '', options.listen, hostname(), 'localhost', '127.0.0.1', '::1'].filter(
    host => host !== '0.0.0.0' && host !== '::' && host !== '',
  )
  const [authority, storage, client] = await Promise.all([
    makeServer(ca, 'authority', hosts, now_ms),
    makeServer(ca, 'storage node', hosts, now_ms),
    makeServer(ca, 'authority at the storage node', [hostname()], now_ms),
  ])
  const tickets = generateKeyPairSync('ed25519')
  const files: [string, string][] = [
    ['authority/ca.key', ca.key],
    ['authority/ca.pem', ca.certificate],
    ['authority/authority.key', authority.key],
    ['authority/authority.pem', authority.certificate],
    ['authority/client.key', client.key],
    ['authority/client.pem', client.certificate],
    ['authority/ticket.key', tickets.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()],
    ['storage/storage.key', storage.key],
    ['storage/storage.pem', storage.certificate],
    ['storage/ca.pem', ca.certificate],
    ['storage/ticket-public.pem', tickets.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
    [
      'storage/config.json',
      JSON.stringify({
        version: 1,
        host: options.listen,
        port: options.storage_port,
        certificate_file: 'storage.pem',
        key_file: 'storage.key',
        ca_file: 'ca.pem',
        ticket_key_file: 'ticket-public.pem',
        authority_thumbprint: thumbprintOf(client.certificate),
      }),
    ],
    ...(connection === undefined ? [] : [['authority/keystore.json', connection] as [string, string]]),
    ['config.json', JSON.stringify({ version: HOME_VERSION, ...options, keystore: connection === undefined ? 'none' : 'escrow' })],
  ]
  for (const [name, text] of files) writeWhole(join(home, name), text)
  return { ca_sha256: thumbprintOf(ca.certificate) }
}

export type Home = {
  readonly config: HomeConfig
  readonly ca: KeyAndCertificate
  readonly authority: KeyAndCertificate
  readonly client: KeyAndCertificate
  readonly ticketKey: ReturnType<typeof createPrivateKey>
}

/** @throws SITE_MISSING, STATE_NEWER, STATE_DAMAGED */
export function readHome(home: string): Home {
  if (!existsSync(join(home, 'config.json'))) throw fault('SITE_MISSING', { found: home })
  const file = (name: string): string => readFileSync(join(home, 'authority', name), 'utf8')
  const both = (name: string): KeyAndCertificate => ({ key: file(`${name}.key`), certificate: file(`${name}.pem`) })
  let value: unknown
  try {
    value = JSON.parse(readFileSync(join(home, 'config.json'), 'utf8'))
  } catch (cause) {
    throw fault('STATE_DAMAGED', { found: 'config.json', cause })
  }
  const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined
  if (typeof version === 'number' && version > HOME_VERSION) throw fault('STATE_NEWER', { expected: `version ${HOME_VERSION}`, found: `version ${version}` })
  if (!Check(HomeConfig, value)) throw fault('STATE_DAMAGED', { found: 'config.json' })
  return { config: value, ca: both('ca'), authority: both('authority'), client: both('client'), ticketKey: createPrivateKey(file('ticket.key')) }
}

/** Where agents reach a port of this home. */
export function urlOf(listen: string, port: number): string {
  const host = listen === '0.0.0.0' || listen === '::' ? hostname() : listen
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function writeWhole(file: string, text: string): void {
  const fd = openSync(`${file}.new`, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${file}.new`, file)
  const folder = openSync(join(file, '..'), 'r')
  fsyncSync(folder)
  closeSync(folder)
}
