// The errors of a restore worker and of who starts it. RESTORE-WORKER.md has a row for each. What the worker meets in
// records, pages and the connection keeps the code that it has there (#restore, #format, #site, #protocol).
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const RESTORE_WORKER_ERRORS = {
  ORDER_INVALID: {
    exit: EXIT.failed,
    text: 'what the restore worker was told does not have the agreed shape',
    next: 'start the appliance again, so that all of it is of one version',
  },
  RESUME_INVALID: { exit: EXIT.usage, text: 'the restore can not go on from there', next: 'begin the restore anew' },
  RESTORE_ABORTED: { exit: EXIT.interrupted, text: 'the restore was ended from outside', next: 'begin it again, or go on from the last byte that came' },
  RESTORE_INCOMPLETE: {
    exit: EXIT.failed,
    text: 'the restore worker ended before the archive was complete',
    next: 'do not use what came; see what the worker said, then go on from the last byte that came, or begin anew',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of a restore by a worker. */
export const fault = faults(RESTORE_WORKER_ERRORS)
