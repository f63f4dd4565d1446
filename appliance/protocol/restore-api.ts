// A restore for somebody else: an administrator asks, another person agrees at the keystore, then the administrator fetches
// an archive file. Asked over the authority's HTTPS port, or over the admin socket by the commands.
import { PATH_BYTES_MAX } from './limits.ts'
import { DeviceId, Name, RecordId, Time_ms } from './names.ts'
import { type Static, Type } from './typebox.js'

export const RESTORE_PATHS = {
  /** POST RestoreRequest → AskedRestore. */
  ask: '/v1/restores',
  /** POST RestoreFetch → the archive file, as it is written; its length is in content-length. */
  fetch: '/v1/restores/fetch',
  /** GET, by a device → OwnRestores: what others restored of this user. */
  own: '/v1/restores/own',
} as const

/** Paths of one restore. */
export const RESTORE_PATHS_MAX = 1000
/** 32 hex digits. */
export const RestoreId = Type.String({ pattern: '^[0-9a-f]{32}$' })
export const RestoreFormat = Type.Union([Type.Literal('tar'), Type.Literal('zip')])
export const Reason = Type.String({ minLength: 3, maxLength: 500 })

/** An administrator signs in with each request: it is one act. */
const SignIn = { administrator: Name, password: Type.String({ minLength: 1, maxLength: 1024 }) }

export const RestoreRequest = Type.Object({
  ...SignIn,
  user: Name,
  /** The beginning of a device's id; may be left out if the user has one device. */
  device: Type.Optional(Type.String({ pattern: '^[0-9a-f]{1,32}$' })),
  snapshot: Type.Union([RecordId, Type.Literal('newest')]),
  /** Byte strings, one character a byte, without the leading '/'; none: everything. */
  paths: Type.Array(Type.String({ maxLength: PATH_BYTES_MAX, pattern: '^[\\u0000-\\u00ff]*$' }), { maxItems: RESTORE_PATHS_MAX }),
  format: RestoreFormat,
  reason: Reason,
})
export type RestoreRequest = Static<typeof RestoreRequest>

export const AskedRestore = Type.Object({
  restore: RestoreId,
  /** What an approver names at the keystore. */
  request: Type.String({ maxLength: 1000 }),
  until_ms: Time_ms,
})
export type AskedRestore = Static<typeof AskedRestore>

export const RestoreFetch = Type.Object({
  ...SignIn,
  restore: RestoreId,
  /** Where an interrupted download goes on, in bytes. */
  from_bytes: Type.Integer({ minimum: 0 }),
})
export type RestoreFetch = Static<typeof RestoreFetch>

export const OwnRestore = Type.Object({
  asked_ms: Time_ms,
  administrator: Name,
  device: DeviceId,
  reason: Type.String(),
  /** asked: nothing was opened (yet). opened: somebody fetched it. */
  state: Type.Union([Type.Literal('asked'), Type.Literal('opened')]),
})
export const OwnRestores = Type.Object({ restores: Type.Array(OwnRestore) })
export type OwnRestores = Static<typeof OwnRestores>
