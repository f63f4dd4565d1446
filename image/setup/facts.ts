// What the status screen says, gathered from what any process of this machine may read: files in /run that others leave
// there, the addresses, and whether the services' ports answer.
import { existsSync, readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { Check, type Static, type TSchema, Type } from '#protocol/typebox.js'
import { addressesOf } from './addresses.ts'
import { SiteFacts } from './machine-part.ts'
import { NETWORK_WORD } from './network-dialogue.ts'
import type { Places } from './places.ts'
import { SiteHealth } from './site-health-shape.ts'

const FILE_BYTES_MAX = 256 * 1024
const CONNECT_MS = 3_000
/** What was said of the site longer ago is not shown. */
const HEALTH_MS_MAX = 5 * 60_000
const ADDRESSES_SHOWN = 4

/** label: may come more than once. */
export type Fact = { readonly label: string; readonly text: string; readonly isLoud?: boolean }
export type Facts = { readonly title: string; readonly time: string; readonly facts: readonly Fact[] }

const Release = Type.Object({ version: Type.Integer() })
const Shown = Type.Object({ code: Type.String(), wrong: Type.Integer(), fingerprint: Type.String() })
const Attention = Type.Object({ items: Type.Array(Type.Object({ text: Type.String() })) })

export async function gatherFacts(places: Places, version: string): Promise<Facts> {
  const release = read(places.release, Release)
  const setup = read(places.shown, Shown)
  const isSite = existsSync(places.config)
  const said = [places.console, places.attention, places.stickAttention].flatMap(file => read(file, Attention)?.items.map(item => item.text) ?? [])
  const title = `Holdfast ${version}${release ? `, image ${release.version}` : ''}`
  const time = new Date().toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'short' })
  const own = isSite ? await siteFacts(places) : setupFacts(setup)
  const attention = [...own.attention, ...said].map(text => ({ label: 'Attention', text, isLoud: true }))
  return {
    title,
    time,
    facts: [{ label: 'State', text: own.state, isLoud: true }, ...own.facts, ...networkFacts(), timeFact(places), KEYBOARD, ...unique(attention)],
  }
}

const KEYBOARD: Fact = { label: 'Keyboard', text: `type ${NETWORK_WORD} and Enter to set the addresses here` }

type Own = { readonly state: string; readonly facts: readonly Fact[]; readonly attention: readonly string[] }

function setupFacts(setup: Static<typeof Shown> | undefined): Own {
  if (!setup) return { state: 'starting', facts: [], attention: [] }
  const where = addressesOf().slice(0, 2)
  return {
    state: 'to be set up',
    facts: [
      ...where.map(({ address, interface: name }) => ({ label: 'Set up at', text: `https://${inUrl(address, name)}/` })),
      { label: 'Code', text: setup.code, isLoud: true },
      { label: 'Fingerprint', text: setup.fingerprint },
    ],
    attention: setup.wrong === 0 ? [] : [`${setup.wrong} wrong set-up codes were tried`],
  }
}

async function siteFacts(places: Places): Promise<Own> {
  const site = read(places.siteFacts, SiteFacts)
  const [storage, authority] = await Promise.all([answers(site?.storage_port), answers(site?.authority_port)])
  const known = read(places.siteHealth, SiteHealth)
  const health = known && Date.now() - known.time_ms < HEALTH_MS_MAX ? known : undefined
  const host = site?.address.includes(':') ? `[${site.address}]` : site?.address
  const up = (isUp: boolean): string => (isUp ? 'up' : 'DOWN')
  return {
    state: storage && authority ? 'ready' : 'starting',
    facts: [
      { label: 'Services', text: `storage ${up(storage)}, authority ${up(authority)}` },
      ...(site
        ? [
            { label: 'Site', text: `https://${host}:${site.authority_port}` },
            { label: 'CA SHA-256', text: site.ca_sha256 },
          ]
        : []),
      ...(health
        ? [
            { label: 'Keystore', text: health.keystore },
            { label: 'Protected', text: `${health.devices} devices of ${health.users} users` },
            { label: 'Disk', text: `${gib(health.disk_free_bytes)} of ${gib(health.disk_bytes)} GiB free` },
          ]
        : []),
    ],
    attention: health?.attention ?? [],
  }
}

function networkFacts(): Fact[] {
  const all = addressesOf()
  if (all.length === 0) return [{ label: 'Address', text: 'none: no cable, or no link' }]
  return all.slice(0, ADDRESSES_SHOWN).map(one => ({ label: 'Address', text: `${one.address} (${one.interface})` }))
}

const timeFact = (places: Places): Fact => ({
  label: 'Time',
  text: existsSync(places.isTimeKnown) ? `synchronised (${zone()})` : `not synchronised (${zone()}): no time server was reached yet`,
})

const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone
const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(0)
/** A link-local address of IPv6 needs the interface; browsers do not take it, other programs do. */
const inUrl = (address: string, name: string): string => (address.includes(':') ? `[${address}${address.startsWith('fe80:') ? `%${name}` : ''}]` : address)
const unique = (facts: readonly Fact[]): Fact[] => [...new Map(facts.map(fact => [fact.text, fact])).values()]

/** Undefined if it is not there, cannot be read, or is something else. */
function read<Schema extends TSchema>(file: string, schema: Schema): Static<Schema> | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    const value: unknown = text.length > FILE_BYTES_MAX ? undefined : JSON.parse(text)
    return Check(schema, value) ? (value as Static<Schema>) : undefined
  } catch {
    return undefined
  }
}

/** Whether something on this machine accepts connections there. */
function answers(port: number | undefined): Promise<boolean> {
  if (port === undefined) return Promise.resolve(false)
  return new Promise(resolve => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    const end = (isUp: boolean): void => {
      socket.destroy()
      resolve(isUp)
    }
    socket.setTimeout(CONNECT_MS, () => end(false))
    socket.on('connect', () => end(true)).on('error', () => end(false))
  })
}
