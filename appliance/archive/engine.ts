// What an open store and an open archive are, for the files of this room. Invariants:
//   `recent` holds every record that is being stored, or is durable and not yet in the index: a look-up that asks it first,
//   and the index after, sees everything that was acknowledged;
//   one flush runs at a time in an archive, and only the writer's loop touches `writer.segment`.
import type { Fault } from '#protocol/fault.ts'
import type { RecordHeader } from '#protocol/record.ts'
import type { ArchiveIndex } from './archive-index.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { Damage, Location } from './location.ts'
import type { OpenFiles } from './open-files.ts'
import type { Anchor } from './scan-segment.ts'
import type { RecordRow, SnapshotRowInFooter, TornRow } from './segment-footer.ts'

/**
 * A whole record (header, clear part, sealed part) in pieces, cut anywhere; its digest was checked by the caller. The
 * pieces are written as they are and not copied: they must not change until the call returns.
 */
export type Framed = { readonly header: RecordHeader; readonly pieces: readonly Uint8Array[] }

/** An open store. Its fields belong to this room. */
export type Store = {
  readonly home_dir: string
  readonly disk: Disk
  readonly reserve_bytes: number
  readonly segment_bytes: number
  readonly now: () => number
  readonly index: ArchiveIndex
  readonly files: OpenFiles
  readonly archives: Map<string, Promise<Archive>>
}

/** An open archive. Its fields belong to this room; ask state(), snapshots(), damage(). */
export type Archive = {
  /** 32 hex digits. */
  readonly id: string
  readonly id_bytes: Buffer
  readonly store: Store
  readonly dir: string
  readonly writer: Writer
  readonly recent: Map<string, Recent>
  readonly damage: Damage[]
  /** As in the index's row of the archive. */
  isDamaged: boolean
  ordinal: number
  head: { readonly id: Buffer; readonly sequence: number } | undefined
  records: number
  segments: number
  bytes: number
  /** Why nothing more is appended until the archive is opened again. Reading goes on. */
  failure: Fault | undefined
  /** The commit that runs, or ran last: commits of an archive go one after the other. */
  committing: Promise<unknown>
  /** The repair of the index by the segments' footers: at most one while the archive is open. */
  repairing: Promise<void> | undefined
}

/** A record that is on its way into the archive (no location yet), or durable and not yet indexed. */
export type Recent = { readonly digest: Buffer; location: Placed | undefined; readonly settled: Promise<void>; readonly settle: () => void }
export type Placed = Location & { readonly received_ms: number }

/** A record to be written; `sequence` only for a snapshot. */
export type ToWrite = { readonly framed: Framed; readonly sequence: number | undefined }
export type WriteJob = {
  readonly records: readonly ToWrite[]
  readonly bytes: number
  readonly placed: Placed[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}
export type LoneJob = { readonly run: () => Promise<void> }
export type Writer = {
  readonly jobs: (WriteJob | LoneJob)[]
  running: Promise<void> | undefined
  segment: OpenSegment | undefined
  next_number: number
  /** Settles with the last write of the index; rejects if the index failed. */
  indexed: Promise<void>
}

/** The segment that is appended to, and what its footer will say. */
export type OpenSegment = {
  readonly number: number
  readonly path: string
  readonly file: DiskFile
  readonly nonce: Buffer
  readonly rows: RecordRow[]
  readonly snapshots: SnapshotRowInFooter[]
  readonly torn: TornRow[]
  /** Everything before this is durable: bytes from the start; 0: not even its header was written yet. */
  bytes: number
  anchor: Anchor
}

/** The key of an id in `recent`. */
export const recentKey = (id: Buffer): string => id.toString('latin1')
