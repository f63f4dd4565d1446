// A restore for somebody else: an administrator asks, another person agrees at the keystore, then the administrator fetches
// an archive file, or another device of the tenant restores it (push-api.ts). Asked over the authority's HTTPS port, or over
// the admin socket by the commands.
import { PATH_BYTES_MAX } from './limits.ts'
import { Count, DeviceId, Name, RecordId, Time_ms } from './names.ts'
import { type Static, Type } from './typebox.js'

export const RESTORE_PATHS = {
  /** POST RestoreRequest → AskedRestore. */
  ask: '/v1/restores',
  /** POST RestoreFetch → the archive file, as it is written; its length is in content-length. */
  fetch: '/v1/restores/fetch',
  /** POST PushRequest → AskedRestore. */
  push: '/v1/restores/push',
  /** POST NamedRestore → ShownRestore. */
  show: '/v1/restores/show',
  /** POST NamedRestore → {}: ends it, at whatever step it is. */
  cancel: '/v1/restores/cancel',
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

const DeviceBeginning = Type.String({ pattern: '^[0-9a-f]{1,32}$' })
export const SnapshotChoice = Type.Union([RecordId, Type.Literal('newest')])
/** Byte strings, one character a byte, without the leading '/'; none: everything. */
export const RestorePaths = Type.Array(Type.String({ maxLength: PATH_BYTES_MAX, pattern: '^[\\u0000-\\u00ff]*$' }), { maxItems: RESTORE_PATHS_MAX })

/** What is to be restored, and why. */
const Wanted = {
  user: Name,
  /** The beginning of a device's id; may be left out if the user has one device. */
  device: Type.Optional(DeviceBeginning),
  snapshot: SnapshotChoice,
  paths: RestorePaths,
  reason: Reason,
}
export const WantedRestore = Type.Object(Wanted)
export type WantedRestore = Static<typeof WantedRestore>

export const RestoreRequest = Type.Object({ ...SignIn, ...Wanted, format: RestoreFormat })
export type RestoreRequest = Static<typeof RestoreRequest>

export const OnConflict = Type.Union([Type.Literal('rename'), Type.Literal('overwrite'), Type.Literal('skip')])
export type OnConflict = Static<typeof OnConflict>
/** Under the directory that the owner of the target named; '' is that itself. No segment is empty, '.' or '..'. */
export const PushFolder = Type.String({
  maxLength: 1024,
  pattern: '^$|^(?!\\.{1,2}(?:/|$))[^/\\u0000]+(?:/(?!\\.{1,2}(?:/|$))[^/\\u0000]+)*$',
})

export const PushRequest = Type.Object({
  ...SignIn,
  ...Wanted,
  to_device: DeviceBeginning,
  folder: PushFolder,
  on_conflict: OnConflict,
  /** Takes over what an earlier push has left there, after checking it. */
  is_resume: Type.Boolean(),
})
export type PushRequest = Static<typeof PushRequest>

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

export const PushCode = Type.String({ pattern: '^[A-Z][A-Z0-9_]{0,63}$' })
/** Codes that are told apart; more are counted together. */
export const PUSH_CODES_MAX = 32
/** What came of a push. Counts only: what the files are called is for the device to say. */
export const PushResult = Type.Object({
  files: Count,
  directories: Count,
  written_bytes: Count,
  skipped: Count,
  renamed: Count,
  /** Files that could not be restored, by why. */
  unrestored: Type.Array(Type.Object({ code: PushCode, count: Count }), { maxItems: PUSH_CODES_MAX }),
  /** Places where something is damaged, so that not even names are known. */
  lost: Count,
  /** What a restore by the command would have ended with. */
  exit: Type.Integer({ minimum: 0, maximum: 255 }),
})
export type PushResult = Static<typeof PushResult>

export const NamedRestore = Type.Object({ ...SignIn, restore: RestoreId })
export type NamedRestore = Static<typeof NamedRestore>

/** asked: waits to be released. opened: somebody has the key now. ended: nothing came, or no longer can. */
export const RestoreState = Type.Union([Type.Literal('asked'), Type.Literal('opened'), Type.Literal('done'), Type.Literal('failed'), Type.Literal('ended')])
/** Who released it, as the keystore names them; absent while nobody has, or where the keystore does not tell. */
const Approver = Type.Optional(Type.String({ maxLength: 200 }))

export const ShownRestore = Type.Object({
  restore: RestoreId,
  administrator: Name,
  reason: Type.String(),
  user: Name,
  device: DeviceId,
  asked_ms: Time_ms,
  state: RestoreState,
  /** Why it is done, failed or ended: for people, or a code. */
  why: Type.Optional(Type.String()),
  approver: Approver,
  /** Null: an archive file, which the administrator fetches. */
  push: Type.Union([
    Type.Object({
      to_device: DeviceId,
      to_user: Name,
      /** Its id, as soon as the target has told it. */
      snapshot: SnapshotChoice,
      folder: Type.String(),
      on_conflict: OnConflict,
      /** Its agent waits for pushes, right now. */
      is_target_there: Type.Boolean(),
      /** Until when an agent that was killed can have the key again; null: not any more, or not yet. */
      key_until_ms: Type.Union([Time_ms, Type.Null()]),
      /** When the target was heard of last, and how far it had come. */
      seen_ms: Type.Union([Time_ms, Type.Null()]),
      files: Count,
      written_bytes: Count,
      total_bytes: Type.Union([Count, Type.Null()]),
      /** Why it is interrupted, if it is. */
      interrupted: Type.Union([Type.String(), Type.Null()]),
      result: Type.Union([PushResult, Type.Null()]),
    }),
    Type.Null(),
  ]),
})
export type ShownRestore = Static<typeof ShownRestore>

export const OwnRestore = Type.Object({
  asked_ms: Time_ms,
  administrator: Name,
  device: DeviceId,
  reason: Type.String(),
  /** asked: nothing was opened (yet). opened: somebody fetched it, or it was pushed to another device. */
  state: Type.Union([Type.Literal('asked'), Type.Literal('opened')]),
  approver: Approver,
  to: Type.Optional(Type.Object({ device: DeviceId, user: Name })),
})
export const OwnRestores = Type.Object({ restores: Type.Array(OwnRestore) })
export type OwnRestores = Static<typeof OwnRestores>
