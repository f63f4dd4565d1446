// Where records come from: the storage node (site-source.ts), or an archive directory (archive-source.ts). Restoring,
// verifying, listing and comparing are written against this seam alone, and so need not know whether there is a server.
import type { OnRecord } from '#site/record-memory.ts'

/** One committed snapshot, as the keeper of the archive knows it: without a key. */
export type SnapshotRow = {
  /** Hex. */
  readonly snapshot: string
  readonly sequence: number
  /** When the appliance received it, by the appliance's clock. */
  readonly received_ms: number
}

export type RecordSource = {
  /** Hex id of the archive. */
  readonly archive: string
  /** All snapshots that can be found, in order of their sequence. */
  snapshots(): Promise<readonly SnapshotRow[]>
  /**
   * Reads records, in the order that suits the source best; resolves when all that were handed over are done with.
   *
   * @param ids  joined, at most READ_IDS_MAX, each once
   * @throws RECORD_UNKNOWN if one of them is not there (others may have been handed over before)
   */
  read(ids: Buffer, onRecord: OnRecord): Promise<void>
  /** A bitmap: bit i (least significant first) is 1 if id i of the joined ids is not stored. */
  missing(ids: Buffer): Promise<Uint8Array>
  close(): Promise<void>
}
