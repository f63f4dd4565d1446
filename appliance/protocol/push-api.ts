// A restore that is pushed to another device of the tenant: what that device and the authority say to each other. The device
// asks; it has no open port. What an administrator says is in restore-api.ts.
import { ArchiveId, Count, DeviceId, Name, RecordId, Time_ms } from './names.ts'
import { OnConflict, PushCode, PushFolder, PushResult, RestoreId, RestorePaths, SnapshotChoice } from './restore-api.ts'
import { type Static, Type } from './typebox.js'

export const PUSH_PATHS = {
  /** POST {} → Waited, after at most PUSH_WAIT_MS. */
  wait: '/v1/pushes/wait',
  /** POST PushKeyRequest → UserKey (authority-api): the owner's key for this one restore. */
  key: '/v1/pushes/key',
  /** POST NamedPush → Ticket (authority-api): for the owner's archive, verb `restore`. */
  ticket: '/v1/pushes/ticket',
  /** POST PushReport → {}. */
  report: '/v1/pushes/report',
} as const

/** What a device is to restore. */
export const Push = Type.Object({
  restore: RestoreId,
  /** Whose files, and of which device. */
  user: Name,
  device: DeviceId,
  archive: ArchiveId,
  administrator: Name,
  reason: Type.String({ maxLength: 500 }),
  asked_ms: Time_ms,
  snapshot: SnapshotChoice,
  paths: RestorePaths,
  folder: PushFolder,
  on_conflict: OnConflict,
  /** An earlier run, or an earlier restore, may have left something that is to be taken over. */
  is_resume: Type.Boolean(),
})
export type Push = Static<typeof Push>

export const Waited = Type.Object({ push: Type.Union([Push, Type.Null()]) })
export type Waited = Static<typeof Waited>

export const NamedPush = Type.Object({ restore: RestoreId })
export type NamedPush = Static<typeof NamedPush>

/** The key that the answer is to be sealed to: X25519, 32 bytes, made for this one request. */
export const PushKeyRequest = Type.Object({ restore: RestoreId, answer_key: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }) })
export type PushKeyRequest = Static<typeof PushKeyRequest>

const kind = <Kind extends string>(name: Kind) => ({ restore: RestoreId, kind: Type.Literal(name) })

export const PushReport = Type.Union([
  /** snapshot: which one it is, so that a later run goes on with the same. */
  Type.Object({ ...kind('progress'), snapshot: RecordId, files: Count, written_bytes: Count, total_bytes: Type.Union([Count, Type.Null()]) }),
  /** It will go on by itself. */
  Type.Object({ ...kind('interrupted'), code: PushCode }),
  Type.Object({ ...kind('done'), result: PushResult }),
  /** It will not go on. */
  Type.Object({ ...kind('failed'), code: PushCode }),
])
export type PushReport = Static<typeof PushReport>
