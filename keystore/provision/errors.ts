// The errors of setting a keystore up. KEYSTORE.md, "Errors", has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const PROVISION_ERRORS = {
  PROVISION_CONFLICT: {
    exit: EXIT.failed,
    text: 'the keystore has something else where this tenant belongs',
    next: 'nothing of it was touched: choose another name for the tenant, or find out who made that',
  },
  PROVISION_OPTIONS_MISSING: {
    exit: EXIT.usage,
    text: 'there is no connection file yet, so it must be said how the keystore is reached',
    next: 'name --address, --ca, --certificate and --key; the file is written at the end',
  },
  APPROVER_UNUSABLE: {
    exit: EXIT.failed,
    text: 'this name cannot be made an approver',
    next: 'choose another name: it belongs to somebody else in this keystore already',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of provisioning. */
export const fault = faults(PROVISION_ERRORS)
