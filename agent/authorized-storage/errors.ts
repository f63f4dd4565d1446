// The errors of the authorized storage. agent/cli/COMMANDS.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const AUTHORIZED_STORAGE_ERRORS = {
  STORAGE_NEWER: { exit: EXIT.failed, text: 'the authorized storage was written by a newer version', next: 'update this agent' },
  STORAGE_DAMAGED: {
    exit: EXIT.damaged,
    text: 'the authorized storage is damaged',
    next: 'pair this device again; restore the old backups with the recovery file',
  },
  STORAGE_KEY_LOST: {
    exit: EXIT.damaged,
    text: 'the key of the authorized storage is not here',
    next: 'put the home back on the machine it was made on, or pair again; restore the old backups with the recovery file',
  },
  HOME_BUSY: { exit: EXIT.failed, text: 'another agent is using this home', next: 'wait until it has ended, or choose another --home' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of the authorized storage. */
export const fault = faults(AUTHORIZED_STORAGE_ERRORS)
