// Errors of the appliance's commands. PROTOCOL.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const APPLIANCE_CLI_ERRORS = {
  APPLIANCE_UNREACHABLE: {
    exit: EXIT.unreachable,
    text: 'the appliance does not answer',
    next: 'check the address, the network and that it runs, then try again',
  },
  APPLIANCE_UNTRUSTED: {
    exit: EXIT.forbidden,
    text: 'whoever answers is not the appliance that was named',
    next: 'compare the SHA-256 of the CA with what the screen of the appliance shows, and connect again',
  },
  CONNECTION_INVALID: {
    exit: EXIT.failed,
    text: 'the file remote.json of this directory is damaged',
    next: 'connect again, with `holdfast-appliance connect`',
  },
  APPLIANCE_ELSEWHERE: {
    exit: EXIT.usage,
    text: 'this directory only leads to an appliance on another machine',
    next: 'use the command where the appliance is',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of a command of the appliance. */
export const fault = faults(APPLIANCE_CLI_ERRORS)
