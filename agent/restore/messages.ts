// What the main thread and the worker threads of a restore say to one another. The main thread has the connection, reads
// pages, makes directories and plans; workers open blocks, check them and write files. A page goes to every worker before
// the first block that refers to it.
import type { MessagePort } from 'node:worker_threads'
import type { Breakage } from './assembly.ts'
import type { OnConflict } from './conflict.ts'

/** What could not be restored, and why. `path` is a byte string. */
export type Failure = Breakage & { readonly path: string }

export type WorkerSetup = {
  readonly archive: string
  /** Says the public key of the worker's RingBox, and is then told the ring that is sealed to it. */
  readonly ring: MessagePort
  /** Undefined: nothing is written, only read and checked. */
  readonly target: string | undefined
  readonly onConflict: OnConflict
  readonly isResume: boolean
  /** One number of 32 bits: how many requests the worker has done. Seen at once, when its answers still wait in line. */
  readonly done: SharedArrayBuffer
}

export type PageMessage = {
  readonly kind: 'page'
  /** A small number under which the page is spoken of from now on. */
  readonly slot: number
  readonly plain: Uint8Array
  readonly clear: Uint8Array
  readonly actions: Uint8Array
  /** Of the first entry, if that goes on from an earlier page: bytes of its content that lie before this page. */
  readonly content_start: number
  /** Directories that were restored under another name. */
  readonly relocations: readonly (readonly [string, string])[]
}

export type Request =
  | PageMessage
  | { readonly kind: 'actions'; readonly slot: number; readonly actions: Uint8Array }
  | { readonly kind: 'forget'; readonly slot: number }
  /** Temporary files for `pieces`; when a restore is resumed, also what of the page is on disk already. */
  | { readonly kind: 'prepare'; readonly slot: number }
  /** `record` lies in shared memory, and is used up. `places`: pairs of slot and index of the block in that page. Without `record` the block is lost, and `lost` says why. */
  | { readonly kind: 'block'; readonly id: string; readonly record: Uint8Array | undefined; readonly lost: string; readonly places: Uint32Array }
  /** The same of a block that is open already: its content in shared memory, or why there is none. */
  | { readonly kind: 'opened'; readonly plain: Uint8Array | undefined; readonly why: Breakage | undefined; readonly places: Uint32Array }
  | { readonly kind: 'plain'; readonly slot: number }
  | { readonly kind: 'links'; readonly slot: number; readonly links: readonly { readonly index: number; readonly to: string }[] }
  /** All pieces are written: checks, sets metadata and renames; a broken one is removed. */
  | { readonly kind: 'finish'; readonly slot: number; readonly index: number; readonly isBroken: boolean }
  /** Wipes the keys and ends the thread. */
  | { readonly kind: 'close' }

/** What came of one request. */
export type Outcome = {
  files: number
  written_bytes: number
  skipped: number
  failures: Failure[]
  /** Restored under another name: wanted and real path. */
  renamed: [string, string][]
  /** `pieces` entries that can't be completed. */
  broken: ({ slot: number; index: number } & Breakage)[]
  /** Where an entry ended up to which others will be linked; undefined if nowhere. */
  primaries: { slot: number; index: number; path: string | undefined }[]
  /** Of `links`: those that have to be written as files of their own. */
  unlinked: number[]
  /** Of `prepare`: by entry, 1 if it is restored already. */
  present: Uint8Array | undefined
  /** Of `prepare`: by extent, 1 if it stands in the temporary file already. */
  presentExtents: Uint8Array | undefined
}

export const emptyOutcome = (): Outcome => ({
  files: 0,
  written_bytes: 0,
  skipped: 0,
  failures: [],
  renamed: [],
  broken: [],
  primaries: [],
  unlinked: [],
  present: undefined,
  presentExtents: undefined,
})

export type ToWorker = { readonly call: number; readonly request: Request }
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'outcome'; readonly call: number; readonly outcome: Outcome }
  /** Ends the restore: a full volume, for example. */
  | { readonly kind: 'fatal'; readonly code: string; readonly found: string }
