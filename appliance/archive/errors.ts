// Errors of opening a store. What happens later (ARCHIVE_FULL, RECORD_UNKNOWN, …) crosses the wire: protocol/errors.ts.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const ARCHIVE_ERRORS = {
  STORE_BUSY: {
    exit: EXIT.failed,
    text: 'another process is using this store',
    next: 'stop it first, or use another --home',
  },
  STORE_NEWER: {
    exit: EXIT.failed,
    text: 'this store was written by a newer version',
    next: 'update this program; nothing was changed',
  },
  STORE_INVALID: {
    exit: EXIT.damaged,
    text: 'the layout file of this store is damaged',
    next: 'compare it with FORMAT-archive.md, "Store", and write it again; nothing was changed',
  },
  STORE_UNREADABLE: {
    exit: EXIT.failed,
    text: 'the store or archive directory cannot be read',
    next: 'check the path, the owner and the mode of the directory, and the disk',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of this room; FORMAT-archive.md has a row for each. */
export const fault = faults(ARCHIVE_ERRORS)
