// Errors of sealed records and of the key file. FORMAT.md, "Errors", has a row for each. None of them crosses the wire.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const FORMAT_ERRORS = {
  KEY_FILE_WRONG: {
    exit: EXIT.failed,
    text: 'the key file cannot be used',
    next: 'compare it with the printed recovery sheet, or export the key again on a paired device',
  },
  KEY_RING_DAMAGED: { exit: EXIT.damaged, text: 'the stored user key is damaged', next: 'pair this device again' },
  KEY_EPOCH_UNKNOWN: { exit: EXIT.failed, text: 'the record is sealed under a key that is not here', next: 'use a key file made after that key' },
  RECORD_DOES_NOT_OPEN: {
    exit: EXIT.damaged,
    text: 'the record was altered, or sealed under another key or for another archive',
    next: 'check that key and archive belong together; run `holdfast verify` to see what is affected',
  },
  RECORD_CONTENT_WRONG: {
    exit: EXIT.damaged,
    text: 'the record opens, but its content is not what its header says',
    next: 'run `holdfast verify` to see what is affected',
  },
  PAGE_INVALID: { exit: EXIT.damaged, text: 'a page is not well formed', next: 'restore from another snapshot; run `holdfast verify` to see what is affected' },
  SNAPSHOT_INVALID: { exit: EXIT.damaged, text: 'a snapshot is not well formed', next: 'restore from another snapshot' },
  ENTRY_TOO_LARGE: {
    exit: EXIT.unreadable,
    text: 'the extended attributes or holes of a file are too large to be kept',
    next: 'remove some of its extended attributes, or exclude the file',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of the format; see FORMAT.md for each code. */
export const fault = faults(FORMAT_ERRORS)
