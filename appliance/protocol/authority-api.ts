// The authority's HTTP API for agents. All JSON. Everything but `ca` and `pair` needs a device certificate.

import { SEALED_KEY_BYTES_MAX } from './limits.ts'
import { ArchiveId, DeviceId, Epoch, Kid, Name, Pem, SlotName, Time_ms } from './names.ts'
import { Head } from './storage-api.ts'
import { Verb } from './ticket.ts'
import { type Static, Type } from './typebox.js'

/** Before the paths of administration, for administrators of the site, who sign in with each request (RFC 7617). */
export const ADMINISTRATION = '/v1/administration'

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
  /** GET → Escrow. POST EscrowRequest → Escrow: the user's sealed key, durable at the authority when it is answered. */
  escrow: '/v1/escrow',
  /** POST KeyRequest → UserKey: the user's key for a device that was just paired. DELETE → {}: it is stored here now. */
  key: '/v1/key',
} as const

/** Bytes in base64 with padding. */
const base64 = (bytes_max: number) => Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$', maxLength: Math.ceil(bytes_max / 3) * 4 })

/** Where a user's escrow lives in the keystore, with its RSA public key and what the tenant's keystore identity says of it. */
export const Slot = Type.Object({ slot: SlotName, public_key: Pem, signature: base64(64) })
export type Slot = Static<typeof Slot>

/** Who can bring a user key back. escrowed: its owner's sign-in, or an approved restore; passphrase: only together with a passphrase that no server knows; self-held: only who has the recovery file. */
export const Custody = Type.Union([Type.Literal('escrowed'), Type.Literal('passphrase'), Type.Literal('self-held')])
export type Custody = Static<typeof Custody>

/** What an agent must know of the keystore; null at a site without one. */
export const PairedEscrow = Type.Object({
  /** The Ed25519 public key of the tenant at the keystore; its hash is in the pairing link. */
  identity: base64(32),
  slot: Slot,
  /** The user has a key already: this device gets it, and makes none. */
  is_held: Type.Boolean(),
  /** As the tenant's policy is now. */
  custody: Custody,
})
export type PairedEscrow = Static<typeof PairedEscrow>

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
  /** The beginning of the id of a device of the same user, whose archive this device goes on with; that device is out then. */
  take_over: Type.Optional(Type.String({ pattern: '^[0-9a-f]{4,32}$' })),
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
  escrow: Type.Union([PairedEscrow, Type.Null()]),
})
export type Paired = Static<typeof Paired>

export const EscrowRequest = Type.Object({
  slot: SlotName,
  epoch: Epoch,
  sealed_key: base64(SEALED_KEY_BYTES_MAX),
  /** passphrase: the key ring is locked by one. */
  custody: Type.Union([Type.Literal('escrowed'), Type.Literal('passphrase')]),
  /** As the keystore's transit engine takes it. */
  sealed_w: Type.String({ pattern: '^vault:v[1-9][0-9]{0,5}:[A-Za-z0-9+/]+={0,2}$', maxLength: 1024 }),
})
export type EscrowRequest = Static<typeof EscrowRequest>

/** held: what the authority keeps of this user's newest key; null if there is none, or no keystore. */
export const Escrow = Type.Object({
  has_keystore: Type.Boolean(),
  /** The user's slot, to seal a new key to. */
  slot: Type.Union([Slot, Type.Null()]),
  /** Somebody had this key who should not have it any more: a device of the user seals what comes from now on under a new one. */
  is_rotation_due: Type.Boolean(),
  /** As the tenant's policy is now. */
  custody: Custody,
  held: Type.Union([
    Type.Object({
      slot: SlotName,
      epoch: Epoch,
      kid: Kid,
      accepted_ms: Time_ms,
      /** Since when it is known to lie in the keystore; null: not yet, so the key is not yet safe. */
      safe_ms: Type.Union([Time_ms, Type.Null()]),
    }),
    Type.Null(),
  ]),
})
export type Escrow = Static<typeof Escrow>

/** The key that the answer is to be sealed to: X25519, 32 bytes, made for this one request. */
export const KeyRequest = Type.Object({ answer_key: base64(32) })
export type KeyRequest = Static<typeof KeyRequest>

export const UserKey = Type.Object({
  tenant: Name,
  slot: SlotName,
  epoch: Epoch,
  sealed_key: base64(SEALED_KEY_BYTES_MAX),
  /** What the keystore opened (W ‖ commitment, 64 bytes), in a sealed box (crypto_box_seal) to answer_key. */
  opened: base64(112),
})
export type UserKey = Static<typeof UserKey>

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
