// What a restore worker and who starts it say to each other, one JSON object a line: orders, and what becomes of them
// (channel.ts). Both sides check what they get. Keys go before all of it (secrets.ts), never in here.
import { PATH_BYTES_MAX, SEALED_KEY_BYTES_MAX } from '#protocol/limits.ts'
import { ArchiveId, Count, Epoch, Name, Pem, RecordId, SlotName } from '#protocol/names.ts'
import { type Static, Type } from '#protocol/typebox.js'

/** Checksums of 10 million entries: of a larger ZIP, the rest is read again when it goes on. */
export const CRCS_BYTES_MAX = 40 * 1024 * 1024
/** The orders: those checksums, and some thousand long paths. */
export const ORDER_BYTES_MAX = 64 * 1024 * 1024
/** Any other line. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024

const base64 = (bytes_max: number) => Type.String({ maxLength: Math.ceil(bytes_max / 3) * 4, pattern: '^[A-Za-z0-9+/]*={0,2}$' })

/** Everything that opening the connection and choosing what to restore takes, but for keys. */
export const Order = Type.Object({
  archive: ArchiveId,
  /** An interrupted restore goes on with the id that `begun` has told. */
  snapshot: Type.Union([RecordId, Type.Literal('newest')]),
  /** Byte strings as in a snapshot: one character is one byte, no leading '/'. None: everything. */
  paths: Type.Array(Type.String({ maxLength: PATH_BYTES_MAX, pattern: '^[\\u0000-\\u00ff]*$' })),
  format: Type.Union([Type.Literal('tar'), Type.Literal('zip')]),
  /** https://host:port of the storage node. */
  storage: Type.String({ maxLength: 300, pattern: '^https://[^/]+$' }),
  ca: Pem,
  certificate: Pem,
  /** Whose keys, and the keys, sealed: what opens them comes with the secrets. */
  escrow: Type.Object({ tenant: Name, slot: SlotName, epoch: Epoch, sealed_key: base64(SEALED_KEY_BYTES_MAX) }),
  resume: Type.Optional(
    Type.Object({
      /** The first byte that is wanted, counted from the archive's beginning. */
      from_bytes: Count,
      /** Of a ZIP: what `sent` has told, joined. Base64. Without it the worker reads again what came before. */
      crcs: base64(CRCS_BYTES_MAX),
    }),
  ),
})
export type Order = Static<typeof Order>

/** The answer to a message of kind `ticket`. */
export const TicketAnswer = Type.Object({ ticket: Type.String({ maxLength: 4096 }), expires_in_ms: Count })
export type TicketAnswer = Static<typeof TicketAnswer>

/** Known before the first byte is sent: the archive is a function of snapshot, paths and format. */
export const Begun = Type.Object({
  snapshot: RecordId,
  /** Of the whole archive, from its first byte to its last. */
  bytes: Count,
  /** Entries of the archive. */
  entries: Count,
  /** What a ZIP has no place for: FIFOs and device nodes. */
  left_out: Count,
  /** Names that are in the archive as bytes, because they are not UTF-8. */
  names_not_utf8: Count,
})
export type Begun = Static<typeof Begun>
/** What can be said of an archive without reading a block. */
export type Measured = Omit<Begun, 'snapshot'>

export const Failed = Type.Object({
  code: Type.String({ maxLength: 64, pattern: '^[A-Z][A-Z0-9_]*$' }),
  message: Type.String({ maxLength: 4096 }),
  next: Type.String({ maxLength: 1024 }),
  exit: Type.Integer({ minimum: 1, maximum: 255 }),
  /** For who asked for the restore: may have the path of a file in it, and so does not belong into a log. */
  facts: Type.Record(Type.String(), Type.Unknown()),
})
export type Failed = Static<typeof Failed>

const kind = <Kind extends string>(name: Kind) => ({ kind: Type.Literal(name) })

export const FromWorker = Type.Union([
  /** A ticket is wanted, the first one too. */
  Type.Object(kind('ticket')),
  Type.Object({ ...kind('begun'), begun: Begun }),
  /** The archive up to this byte was sent; of a ZIP, the checksums of the entries that came with it (u32 LE each, base64). */
  Type.Object({ ...kind('sent'), bytes: Count, crcs: base64(CRCS_BYTES_MAX) }),
  /** All of it was sent, and the keys are wiped. */
  Type.Object(kind('done')),
  Type.Object({ ...kind('failed'), failed: Failed }),
])
export type FromWorker = Static<typeof FromWorker>
