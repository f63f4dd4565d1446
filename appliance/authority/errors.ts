// The errors of the authority and of the appliance's commands that never cross the wire to an agent.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const AUTHORITY_ERRORS = {
  SITE_EXISTS: { status: 409, exit: EXIT.failed, text: 'this home is set up already', next: 'choose another --home, or use it as it is' },
  SITE_MISSING: { exit: EXIT.failed, text: 'this home is not set up', next: 'set it up: holdfast-appliance init --home DIR' },
  SITE_BUSY: { exit: EXIT.failed, text: 'another process uses this home', next: 'stop the appliance that runs on it, or choose another --home' },
  STATE_NEWER: { exit: EXIT.failed, text: "the authority's state was written by a newer version", next: 'update this appliance' },
  STATE_DAMAGED: { exit: EXIT.damaged, text: "the authority's state is damaged", next: 'restore authority/ from a copy; archives are not affected' },
  AUDIT_FAILED: { status: 500, exit: EXIT.failed, text: 'the audit record could not be written, so nothing was done', next: 'check the disk of the authority' },
  AUDIT_BROKEN: { exit: EXIT.damaged, text: 'the audit log was altered', next: 'compare it with a copy; keep both' },
  TENANT_NOT_PROVISIONED: {
    status: 409,
    exit: EXIT.failed,
    text: 'the keystore is not set up for this tenant',
    next: 'provision it (holdfast-keystore provision --tenant NAME), and give its connection file to `holdfast-appliance init`',
  },
  RESTORE_BROKEN_OFF: {
    exit: EXIT.unreachable,
    text: 'the download broke off',
    next: 'go on with --resume; if it breaks off at the same place again, the archive is damaged there: see the log of the authority',
  },
  START_FAILED: { exit: EXIT.failed, text: 'a process of the appliance did not start', next: 'put right what it said, then run again' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of the authority. */
export const fault = faults(AUTHORITY_ERRORS)
