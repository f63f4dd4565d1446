// Errors of starting a storage node. What a client may see is in protocol/errors.ts.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const STORAGE_ERRORS = {
  STORAGE_CONFIG_INVALID: {
    exit: EXIT.failed,
    text: 'the configuration of the storage node is missing or damaged',
    next: 'run `holdfast-appliance init`, or bring the file back from a copy',
  },
  STORAGE_CONFIG_NEWER: { exit: EXIT.failed, text: 'the configuration was written by a newer version', next: 'update this program; nothing was changed' },
  DEAUTHORIZED_UNREADABLE: {
    exit: EXIT.damaged,
    text: 'the list of deauthorized devices is damaged',
    next: 'delete it and deauthorize those devices again: the authority knows them; until then nobody is served',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of this room; STORAGE.md has a row for each. */
export const fault = faults(STORAGE_ERRORS)
