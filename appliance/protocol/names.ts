// The shapes of the names that cross the wire, as TypeBox schemas.
import { type Static, Type } from './typebox.js'

/** Names of tenants and users: safe in paths, in certificates and in the keystore. */
export const Name = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' })
/** 16 random bytes in hex: an archive, a device. */
export const ArchiveId = Type.String({ pattern: '^[0-9a-f]{32}$' })
export const DeviceId = Type.String({ pattern: '^[0-9a-f]{32}$' })
/** 32 bytes in hex: the id of a record. */
export const RecordId = Type.String({ pattern: '^[0-9a-f]{64}$' })
/** 32 random bytes in hex: a session of one backup. */
export const SessionId = Type.String({ pattern: '^[0-9a-f]{64}$' })
/** SHA-256 of a certificate in DER form, base64url without padding (RFC 8705, x5t#S256). */
export const Thumbprint = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' })
/** A user's place in the keystore: the name of a transit key, of a folder, and of who signs in. */
export const SlotName = Type.String({ pattern: '^s-[0-9a-f]{32}$' })
/** An escrow in its slot: the epoch, and the beginning of the sealed key's SHA-256. */
export const Kid = Type.String({ pattern: '^[1-9][0-9]{0,8}-[0-9a-f]{32}$' })
/** The number of a user key in its succession. */
export const Epoch = Type.Integer({ minimum: 1, maximum: 999_999_999 })
/** Milliseconds since 1970 in UTC. */
export const Time_ms = Type.Integer({ minimum: 0 })
export const Count = Type.Integer({ minimum: 0 })
export const Pem = Type.String({ maxLength: 16_384 })

export type ArchiveId = Static<typeof ArchiveId>
export type DeviceId = Static<typeof DeviceId>
