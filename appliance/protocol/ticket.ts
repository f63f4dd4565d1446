// A ticket: a short-lived permission for one device on one archive, signed by the authority (a JWT, RFC 7519, with
// EdDSA over Ed25519) and bound to the device's TLS certificate (RFC 8705, cnf.x5t#S256). The storage node checks
// signature, issuer, audience, expiry, archive, verb and certificate, and needs to ask nobody.

import { ArchiveId, DeviceId, Name, Thumbprint } from './names.ts'
import { type Static, Type } from './typebox.js'

export const TICKET_TYPE = 'holdfast-ticket+jwt'
export const TICKET_ISSUER = 'holdfast-authority'
export const TICKET_AUDIENCE = 'holdfast-storage'
/** How a request carries it: `authorization: Ticket <jwt>`. */
export const TICKET_SCHEME = 'Ticket'

/** backup: sessions, missing, records, snapshots; restore: read and list. */
export const Verb = Type.Union([Type.Literal('backup'), Type.Literal('restore')])
export type Verb = Static<typeof Verb>

export const TicketClaims = Type.Object({
  iss: Type.Literal(TICKET_ISSUER),
  aud: Type.Literal(TICKET_AUDIENCE),
  iat: Type.Integer(),
  exp: Type.Integer(),
  /** device */
  sub: DeviceId,
  tenant: Name,
  archive: ArchiveId,
  verbs: Type.Array(Verb, { minItems: 1, maxItems: 2 }),
  cnf: Type.Object({ 'x5t#S256': Thumbprint }),
})
export type TicketClaims = Static<typeof TicketClaims>
