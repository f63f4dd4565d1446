// The errors of set-up: what is answered to the browser, said on the screen, or answered to a machine act.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const SETUP_ERRORS = {
  CODE_WRONG: { status: 403, exit: EXIT.forbidden, text: 'the set-up code is wrong', next: 'type the code that the screen of the appliance shows now' },
  CODE_TRIES: { status: 429, exit: EXIT.forbidden, text: 'too many set-up codes are being tried', next: 'wait a minute, then try again' },
  SETTING_INVALID: { status: 400, exit: EXIT.usage, text: 'a setting is not valid', next: 'put it right, then send it again' },
  NETWORK_INVALID: { status: 400, exit: EXIT.usage, text: 'the network settings are not valid', next: 'put them right, then try again' },
  TIME_INVALID: { status: 400, exit: EXIT.usage, text: 'the time settings are not valid', next: 'put them right, then try again' },
  RECOVERY_KEY_MISSING: {
    status: 503,
    exit: EXIT.failed,
    text: 'the state of this appliance has no recovery key yet',
    next: 'wait a minute, then try again; if it stays, start the appliance again',
  },
  RECOVERY_KEY_OTHER: {
    status: 409,
    exit: EXIT.failed,
    text: 'this is not the end of the recovery key',
    next: 'write the recovery key down as it is shown, then type its last group',
  },
  SETUP_ENDED: { status: 403, exit: EXIT.forbidden, text: 'this set-up has ended, or was begun anew', next: 'begin anew with the code on the screen' },
  SETUP_BUSY: { status: 409, exit: EXIT.failed, text: 'a set-up is being made at this moment', next: 'wait, then try again' },
  FINISH_FAILED: {
    status: 500,
    exit: EXIT.failed,
    text: 'the set-up could not be finished; nothing was set up',
    next: 'begin anew with the code on the screen',
  },
  DRAFT_INVALID: { status: 500, exit: EXIT.damaged, text: 'the prepared site is not what it should be', next: 'begin anew with the code on the screen' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of set-up. */
export const fault = faults(SETUP_ERRORS)
