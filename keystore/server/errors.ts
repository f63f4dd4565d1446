// What can go wrong with a keystore server that we run ourselves. KEYSTORE.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const KEYSTORE_SERVER_ERRORS = {
  KEYSTORE_SERVER_MISSING: {
    exit: EXIT.failed,
    text: 'no keystore server was found, and the pinned one could not be installed',
    next: 'put right what it said, or install OpenBao 2.7 or later and name its program in HOLDFAST_BAO',
  },
  KEYSTORE_SERVER_UNFIT: {
    exit: EXIT.failed,
    text: 'the named program can not be run as a keystore server',
    next: 'name the `bao` of OpenBao 2.7 or later in HOLDFAST_BAO, or leave it out',
  },
  KEYSTORE_SERVER_ALTERED: {
    exit: EXIT.damaged,
    text: "the keystore server's program is not the one that is pinned",
    next: 'do not run it; find out how it came there, delete it, then run this again: it is installed anew',
  },
  KEYSTORE_SERVER_FAILED: {
    exit: EXIT.failed,
    text: 'the keystore server did not do what it should',
    next: 'put right what its log says, then run this again',
  },
  KEYSTORE_HOME_BUSY: { exit: EXIT.failed, text: 'another process uses this keystore home', next: 'stop it, or choose another --home' },
  KEYSTORE_HOME_DAMAGED: {
    exit: EXIT.damaged,
    text: 'a file of this keystore home is missing or damaged',
    next: 'bring the file back from a copy; without one, what this keystore holds is lost: delete the home and begin anew',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of a keystore server that we run. */
export const fault = faults(KEYSTORE_SERVER_ERRORS)
