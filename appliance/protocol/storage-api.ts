// The storage node's HTTP API. Ids and records travel as bytes (application/octet-stream), all else as JSON.
// Errors are answered as ErrorAnswer with the status of their code.

import { ArchiveId, Count, DeviceId, RecordId, SessionId, Thumbprint, Time_ms } from './names.ts'
import { type Static, Type } from './typebox.js'

export const BYTES_TYPE = 'application/octet-stream'
/** Names the open session in `missing`, `records` and `snapshots` requests. */
export const SESSION_HEADER = 'holdfast-session'

export const STORAGE_PATHS = {
  /** GET → Health. No ticket needed. */
  health: '/v1/health',
  /** GET → ArchiveState. Verb backup or restore. */
  archive: '/v1/archives/:archive',
  /** POST → Session. Verb backup. Makes the archive at its first use. */
  sessions: '/v1/archives/:archive/sessions',
  /** DELETE → {}. Ends the session (its lease too). Verb backup. */
  session: '/v1/archives/:archive/sessions/:session',
  /** POST joined ids (at most MISSING_IDS_MAX) → a bitmap: bit i (least significant first) is 1 if id i is missing. Verb backup. */
  missing: '/v1/archives/:archive/missing',
  /** POST joined records (at most UPLOAD_BYTES_MAX) → Stored, once all of them are durable. Verb backup. */
  records: '/v1/archives/:archive/records',
  /** POST one snapshot record → Committed, once durable. Verb backup. GET → Snapshots. Verb restore or backup. */
  snapshots: '/v1/archives/:archive/snapshots',
  /** POST joined ids (at most READ_IDS_MAX) → those records, joined, each once, in the order in which they lie on disk. Verb restore or backup. */
  read: '/v1/archives/:archive/read',
  /** PUT Deauthorized → {}. Only with the authority's own certificate. Durable before it is answered. */
  deauthorized: '/v1/deauthorized',
} as const

export const ArchiveParams = Type.Object({ archive: ArchiveId })
export const SessionParams = Type.Object({ archive: ArchiveId, session: SessionId })

export const Head = Type.Object({ snapshot: RecordId, sequence: Type.Integer({ minimum: 1 }) })
export type Head = Static<typeof Head>

export const ArchiveState = Type.Object({
  archive: ArchiveId,
  head: Type.Union([Head, Type.Null()]),
  records: Count,
  segments: Count,
  bytes: Count,
})
export type ArchiveState = Static<typeof ArchiveState>

export const Session = Type.Object({ session: SessionId, head: Type.Union([Head, Type.Null()]), idle_ms: Count, records: Count })
export type Session = Static<typeof Session>

/** stored: appended and durable; known: were stored before, byte for byte the same. */
export const Stored = Type.Object({ stored: Count, known: Count })
export type Stored = Static<typeof Stored>

export const Committed = Type.Object({ snapshot: RecordId, sequence: Type.Integer({ minimum: 1 }), received_ms: Time_ms })
export type Committed = Static<typeof Committed>

export const SnapshotRow = Type.Object({ snapshot: RecordId, sequence: Type.Integer({ minimum: 1 }), received_ms: Time_ms })
export const Snapshots = Type.Object({ snapshots: Type.Array(SnapshotRow) })
export type Snapshots = Static<typeof Snapshots>

/** Facts of SNAPSHOT_INCOMPLETE: how many records are missing, and the first hundred of their ids. */
export const SnapshotIncompleteFacts = Type.Object({ missing_count: Count, missing: Type.Array(RecordId, { maxItems: 100 }) })

export const Deauthorized = Type.Object({ device: DeviceId, thumbprints: Type.Array(Thumbprint, { maxItems: 1000 }) })
export type Deauthorized = Static<typeof Deauthorized>

export const Health = Type.Object({ ok: Type.Boolean(), version: Type.String(), time_ms: Time_ms })
export type Health = Static<typeof Health>

export const ErrorAnswer = Type.Object({
  code: Type.String(),
  message: Type.String(),
  next: Type.String(),
  expected: Type.Optional(Type.String()),
  found: Type.Optional(Type.String()),
  facts: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
})
export type ErrorAnswer = Static<typeof ErrorAnswer>
