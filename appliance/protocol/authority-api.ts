// The authority's HTTP API for agents. All JSON. Everything but `ca` and `pair` needs a device certificate.

import { ArchiveId, DeviceId, Name, Pem, Time_ms } from './names.ts'
import { Head } from './storage-api.ts'
import { Verb } from './ticket.ts'
import { type Static, Type } from './typebox.js'

export const AUTHORITY_PATHS = {
  /** GET → Health (storage-api). */
  health: '/v1/health',
  /** GET → Ca. The agent compares its hash with the pairing link before it sends anything. */
  ca: '/v1/ca',
  /** POST Pair → Paired. */
  pair: '/v1/pair',
  /** POST TicketRequest → Ticket. */
  tickets: '/v1/tickets',
  /** GET → Device. DELETE → {}: the device gives its authorization back (unpair). */
  device: '/v1/device',
  /** PUT HeadRequest → {}: the newest snapshot that this device committed; the sequence never goes back. */
  head: '/v1/head',
} as const

export const Ca = Type.Object({ ca: Pem })
export type Ca = Static<typeof Ca>

export const Pair = Type.Object({
  /** The link's secret, base64url. */
  code: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  password: Type.String({ minLength: 1, maxLength: 1024 }),
  /** PKCS#10 in PEM, made by the agent over its own P-256 key. Its subject is ignored. */
  csr: Pem,
  hostname: Type.String({ minLength: 1, maxLength: 255 }),
  platform: Type.String({ minLength: 1, maxLength: 64 }),
  agent_version: Type.String({ minLength: 1, maxLength: 64 }),
})
export type Pair = Static<typeof Pair>

export const Paired = Type.Object({
  device: DeviceId,
  user: Name,
  tenant: Name,
  archive: ArchiveId,
  /** The device's certificate and the site's CA. */
  certificate: Pem,
  ca: Pem,
  /** https://host:port of the storage node. */
  storage: Type.String({ maxLength: 300 }),
})
export type Paired = Static<typeof Paired>

export const TicketRequest = Type.Object({ archive: ArchiveId, verbs: Type.Array(Verb, { minItems: 1, maxItems: 2 }) })
export type TicketRequest = Static<typeof TicketRequest>

/** expires_in_ms counts from the answer: the agent's own clock is never compared with the server's. */
export const Ticket = Type.Object({ ticket: Type.String({ maxLength: 4096 }), expires_in_ms: Type.Integer({ minimum: 0 }), time_ms: Time_ms })
export type Ticket = Static<typeof Ticket>

export const Device = Type.Object({
  device: DeviceId,
  user: Name,
  tenant: Name,
  archive: ArchiveId,
  hostname: Type.String(),
  storage: Type.String(),
  head: Type.Union([Head, Type.Null()]),
  time_ms: Time_ms,
})
export type Device = Static<typeof Device>

export const HeadRequest = Head
