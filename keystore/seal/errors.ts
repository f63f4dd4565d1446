// Errors of sealing a user key, met on the endpoint. KEYSTORE.md, "Errors", has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const SEAL_ERRORS = {
  SLOT_FORGED: {
    exit: EXIT.forbidden,
    text: "the keystore's slot for this user is not signed by the keystore that the pairing link names",
    next: 'nothing was sent; report it to the security officer: somebody may have put a key of their own in between',
  },
  SEALED_KEY_INVALID: { exit: EXIT.damaged, text: 'a sealed user key is not well formed', next: 'take the sealed key from another copy of the archive' },
  SEALED_KEY_DOES_NOT_OPEN: {
    exit: EXIT.damaged,
    text: 'the sealed user key and what the keystore keeps do not belong together, or one was altered',
    next: 'take the sealed key from another copy of the archive; report it to the security officer',
  },
  PASSPHRASE_NEEDED: {
    exit: EXIT.usage,
    text: "this user's key is in escrow behind a passphrase",
    next: 'give it: holdfast key fetch (with --passphrase-file or at the prompt); nobody but its owner can',
  },
  PASSPHRASE_WRONG: {
    exit: EXIT.forbidden,
    text: 'the passphrase is wrong',
    next: 'try again; without it only the recovery file or another device has this key',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of sealing; see KEYSTORE.md for each code. */
export const fault = faults(SEAL_ERRORS)
