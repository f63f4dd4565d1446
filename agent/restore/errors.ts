// The errors of restoring and of looking into an archive. COMMANDS.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const RESTORE_ERRORS = {
  SNAPSHOT_UNKNOWN: { exit: EXIT.usage, text: 'there is no such snapshot', next: 'list them with `holdfast snapshots`' },
  SNAPSHOT_AMBIGUOUS: { exit: EXIT.usage, text: 'more than one snapshot begins with this', next: 'give more characters of the id' },
  ARCHIVE_EMPTY: { exit: EXIT.failed, text: 'nothing was backed up to this archive yet', next: 'run `holdfast backup PATH…` first' },
  AT_INVALID: {
    exit: EXIT.usage,
    text: 'neither a snapshot nor a time',
    next: 'give `latest`, the beginning of an id (6 or more characters), or a time such as 2026-03-31 or "2026-03-31 17:05"',
  },
  PATH_NOT_IN_SNAPSHOT: { exit: EXIT.usage, text: 'a path is not in this snapshot', next: 'look with `holdfast ls` or `holdfast find`' },
  PATTERN_INVALID: { exit: EXIT.usage, text: 'the pattern is not valid', next: 'use * ? [abc] and **, for example "*.pdf" or "/home/**/taxes*"' },
  TARGET_UNUSABLE: { exit: EXIT.failed, text: 'the target directory can not be used', next: 'name a directory that you may write to, with --to' },
  TARGET_FULL: {
    exit: EXIT.failed,
    text: 'the target volume is full',
    next: 'make room, then run the same command again with --resume: what is restored already is not fetched again',
  },
  RECORD_DAMAGED: { exit: EXIT.damaged, text: 'a stored record is damaged or missing', next: 'run `holdfast verify` to see what is affected' },
  CONTENT_MISMATCH: {
    exit: EXIT.damaged,
    text: "a file's content is not what was backed up",
    next: 'restore it from another snapshot; run `holdfast verify --read-data`',
  },
  KEY_WRONG: { exit: EXIT.forbidden, text: 'this key opens nothing in this archive', next: 'use the key file of the user whose device made the archive' },
  RESTORE_WORKER_FAILED: { exit: EXIT.failed, text: 'a worker thread of the restore ended', next: 'run the same command again with --resume' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of a restore. */
export const fault = faults(RESTORE_ERRORS)
