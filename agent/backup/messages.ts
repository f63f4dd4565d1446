// What the backup's two threads say to one another. The reader thread has the key, and does all that needs it; the main
// thread has the connection, and scans. Of what is made with the key only sealed records, opaque ids and counts cross
// between them.
import type { ScannedMessage } from './scanning.ts'
import type { Unreadable } from './unreadable.ts'

export type BackupWork = {
  readonly home: string
  readonly archive: string
  readonly paths: readonly string[]
  readonly hostname: string
  readonly agentVersion: string
  readonly compressionLevel: number
  readonly isDryRun: boolean
  /** The newest snapshot of the archive, as hex, and its sequence. */
  readonly head: { readonly snapshot: string; readonly sequence: number } | null
  /** No record is stored yet, so none needs to be asked about. */
  readonly isArchiveEmpty: boolean
  /** Reads every file again and asks about every block: after the storage node said that records are missing. */
  readonly isDistrustful: boolean
}

export type BackupCounts = {
  files: number
  directories: number
  others: number
  changed_files: number
  read_bytes: number
  new_blocks: number
  reused_pages: number
  new_pages: number
}

export type FromReader =
  /** The first: its libraries are loaded, and it may be ended at any time from here on. */
  | { readonly kind: 'started' }
  | { readonly kind: 'ask'; readonly call: number; readonly ids: Uint8Array }
  | { readonly kind: 'fetch'; readonly call: number; readonly id: Uint8Array }
  /** Done with a group of scanned entries. */
  | { readonly kind: 'taken'; readonly group: number; readonly isContentWanted: boolean }
  /** In shared memory, until it is acknowledged. */
  | { readonly kind: 'record'; readonly ordinal: number; readonly bytes: Uint8Array }
  | { readonly kind: 'flush' }
  | { readonly kind: 'commit'; readonly call: number; readonly bytes: Uint8Array }
  | { readonly kind: 'progress'; readonly counts: BackupCounts; readonly path: string }
  | { readonly kind: 'unreadable'; readonly item: Unreadable }
  | { readonly kind: 'done'; readonly counts: BackupCounts; readonly snapshot: string; readonly sequence: number }

export type ToReader =
  | { readonly kind: 'begin'; readonly work: BackupWork }
  | ({ readonly kind: 'scanned' } & ScannedMessage)
  | { readonly kind: 'answer'; readonly call: number; readonly bytes: Uint8Array }
  | { readonly kind: 'acknowledged'; readonly ordinals: readonly number[] }
