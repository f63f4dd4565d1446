// The errors of operating a keystore. OPERATING.md, "Errors", has a row for each. None ever carries a share, a token or a key.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const OPERATE_ERRORS = {
  LOG_UNREADABLE: { exit: EXIT.failed, text: 'a log cannot be read', next: 'check the path and permissions; a log is read as its owner or as root' },
  LOG_BROKEN: {
    exit: EXIT.damaged,
    text: 'a chained log was altered',
    next: 'keep the file as it is for the security officer, and compare it with a copy from before',
  },
  ACCESS_INVALID: {
    exit: EXIT.usage,
    text: 'the file that says how to reach the keystore is missing or not well formed',
    next: 'name a JSON file with addresses, ca, certificate and key; OPERATING.md says how to make one',
  },
  SHARE_INVALID: {
    exit: EXIT.usage,
    text: 'this is not a share of a keystore',
    next: 'nothing was given: decrypt your share with gpg and give what it prints, 66 hex digits or 44 of base64',
  },
  CEREMONY_REFUSED: { exit: EXIT.failed, text: 'the keystore was not initialised', next: 'nothing was done: put right what was found, then run this again' },
  KEYSTORE_SNAPSHOT_INCOMPLETE: { exit: EXIT.unreachable, text: 'the keystore did not send its whole snapshot', next: 'nothing of it was kept: try again' },
  KEYSTORE_SNAPSHOT_REFUSED: {
    exit: EXIT.failed,
    text: 'the keystore does not take this snapshot',
    next: 'it must be initialised, unsealed and active, with its own root token; a damaged snapshot is refused as well: take an older one',
  },
  AGE_KEY_INVALID: { exit: EXIT.usage, text: 'this is no key of age', next: 'make one with `holdfast-keystore snapshot key`, or with age-keygen' },
  AGE_NOT_FOR_US: { exit: EXIT.forbidden, text: 'this snapshot is for other people', next: 'ask somebody whose public key it was made for' },
  AGE_DAMAGED: { exit: EXIT.damaged, text: 'this snapshot is damaged', next: 'take another copy, or an older one' },
  CANARY_INVALID: { exit: EXIT.usage, text: 'the canary file is missing or not well formed', next: 'make a new one: holdfast-keystore snapshot canary' },
  CANARY_DEAD: {
    exit: EXIT.damaged,
    text: 'the canary does not open: this snapshot would not bring the keys back',
    next: 'see that the canary was made before the snapshot was taken; if so, take and rehearse another snapshot at once, and keep the old ones',
  },
  REHEARSAL_FAILED: { exit: EXIT.failed, text: 'the scratch keystore did not come up', next: 'run it again on a machine with less to do' },
  ROOT_TOKEN_REFUSED: {
    exit: EXIT.failed,
    text: 'no root token was made',
    next: 'if nobody of you has begun one, find out who did before anything else; otherwise begin again with all holders at one terminal',
  },
  LIST_INVALID: { exit: EXIT.usage, text: 'the list of escrows is not well formed', next: 'give one JSON object a line, as OPERATING.md shows' },
  SNAPSHOTS_DAMAGED: {
    exit: EXIT.damaged,
    text: 'the record of a folder of snapshots is damaged',
    next: 'move the folder aside and keep its files; the next snapshot begins a new one',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of operating a keystore. */
export const fault = faults(OPERATE_ERRORS)
