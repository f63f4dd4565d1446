// The errors of reaching the site. agent/cli/COMMANDS.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const SITE_ERRORS = {
  UNREACHABLE: { exit: EXIT.unreachable, text: 'the appliance does not answer', next: 'check the network and that the appliance runs, then try again' },
  ANSWER_INVALID: { exit: EXIT.failed, text: 'the appliance answered something unexpected', next: 'compare the versions of agent and appliance' },
  CLOCK_WRONG: {
    exit: EXIT.failed,
    text: 'a certificate is not valid at this time',
    next: 'set the clock of this device (and of the appliance), then try again',
  },
  CA_MISMATCH: {
    exit: EXIT.forbidden,
    text: 'the appliance is not the one that the pairing link names',
    next: 'ask the administrator for a new link; somebody may stand between you and the appliance',
  },
  KEYSTORE_MISMATCH: {
    exit: EXIT.forbidden,
    text: 'the appliance speaks for another keystore than the pairing link names',
    next: 'no key was made or sent; report it to the security officer, and ask the administrator for a new link',
  },
  SITE_UNTRUSTED: {
    exit: EXIT.forbidden,
    text: 'the appliance has a certificate of another site',
    next: 'ask the administrator; if the appliance was set up anew, pair this device again',
  },
  NOT_PAIRED: { exit: EXIT.failed, text: 'this device is not paired', next: 'pair it: holdfast pair LINK' },
  KEY_FILE_UNNEEDED: {
    exit: EXIT.failed,
    text: 'there is a key of this user at this appliance already, and one user has one',
    next: 'pair without --key-file; what another key sealed is restored with `holdfast recover`',
  },
  ALREADY_PAIRED: { exit: EXIT.failed, text: 'this home is paired already', next: 'unpair it first, or choose another --home' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of the connection to the site. */
export const fault = faults(SITE_ERRORS)
