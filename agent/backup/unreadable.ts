// A file that could not be backed up as it should: which, and why. The run goes on without it, and ends with exit code 3.

export type Unreadable = {
  /** Byte string, without the leading slash. */
  readonly path: string
  /** An errno name such as EACCES, or CHANGED (stored as it was last read), VANISHED, or SOCKET (never stored; no failure). */
  readonly reason: string
}

/** How many are kept in the snapshot; all of them are reported while the backup runs. */
export const UNREADABLE_MAX = 10_000
