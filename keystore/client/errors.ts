// The errors of speaking with the keystore. KEYSTORE.md, "Errors", has a row for each. None ever carries a token or a body.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const KEYSTORE_ERRORS = {
  KEYSTORE_UNREACHABLE: {
    exit: EXIT.unreachable,
    text: 'the keystore does not answer',
    next: 'check that it runs and that this machine may reach it; what waits for it is kept and goes on by itself',
  },
  KEYSTORE_UNTRUSTED: {
    exit: EXIT.forbidden,
    text: 'the keystore has a certificate of another CA, or one that is not valid now',
    next: 'nothing was sent: check the address, the CA in the connection file and the clocks; somebody may stand in between',
  },
  KEYSTORE_SEALED: { exit: EXIT.unreachable, text: 'the keystore is sealed', next: 'unseal it: three of the five share holders are needed' },
  KEYSTORE_LEADERLESS: {
    exit: EXIT.unreachable,
    text: 'the keystore has no leader at the moment',
    next: 'if that lasts longer than a minute, see that most of its nodes run and are unsealed',
  },
  KEYSTORE_AUDIT_FAILED: {
    exit: EXIT.failed,
    text: 'the keystore cannot write its audit log, so it gives nothing out',
    next: 'make room on the disks of its audit files; it goes on at once',
  },
  KEYSTORE_FAILED: { exit: EXIT.unreachable, text: 'the keystore failed at this', next: "try again; if it stays, look into the keystore's log" },
  KEYSTORE_BUSY: {
    exit: EXIT.unreachable,
    text: 'the keystore takes no more of these requests for now',
    next: 'wait; if nobody fetches many keys on purpose, find out who does',
  },
  KEYSTORE_REFUSED: {
    exit: EXIT.forbidden,
    text: 'the keystore does not permit this',
    next: 'if it should: run `holdfast-keystore provision` again, which puts policies and roles right and says what differed',
  },
  KEYSTORE_CLOCK_WRONG: {
    exit: EXIT.unreachable,
    text: 'the clocks of keystore and appliance differ, so the keystore takes no sign-in',
    next: 'put the wrong one right; what waits goes on by itself then',
  },
  KEYSTORE_NOT_FOUND: {
    exit: EXIT.failed,
    text: 'the keystore has nothing there',
    next: 'see that the tenant was provisioned: holdfast-keystore provision --tenant NAME',
  },
  KEYSTORE_REQUEST_INVALID: {
    exit: EXIT.failed,
    text: 'the keystore does not understand this request',
    next: 'compare its version with the one that KEYSTORE.md names, and run `holdfast-keystore provision` again',
  },
  KEYSTORE_ANSWER_INVALID: {
    exit: EXIT.failed,
    text: 'the keystore answered something unexpected',
    next: 'see that nothing stands between this machine and the keystore, and compare its version with the one that KEYSTORE.md names',
  },
  KEYSTORE_POLICY_WRONG: {
    exit: EXIT.forbidden,
    text: 'a sign-in at the keystore carries other policies than its own, which would lift its guards',
    next: 'nothing was opened; run `holdfast-keystore provision --self-test`, and take policies off the entities and groups that it names',
  },
  KEYSTORE_NAME_INVALID: { exit: EXIT.failed, text: 'a name is not allowed in the keystore', next: 'nothing was sent; report it: such names are never made' },
  KEYSTORE_CONNECTION_INVALID: {
    exit: EXIT.failed,
    text: 'the connection file of the keystore is missing or not well formed',
    next: 'let `holdfast-keystore provision` write it again',
  },
  SLOT_UNTRUSTED: {
    exit: EXIT.forbidden,
    text: "a slot's key is not signed by the tenant's identity in the connection file",
    next: 'the slot was not used; report it to the security officer: this is another keystore, or its identity key was changed',
  },
  ESCROW_MISSING: {
    exit: EXIT.failed,
    text: 'the keystore keeps no such escrow',
    next: 'if the authority still has it in its outbox it will be delivered; otherwise only the recovery file or another device has this key',
  },
  APPROVAL_MISSING: {
    exit: EXIT.unreachable,
    text: 'nobody has released this restore yet, or it waited too long',
    next: 'let an approver other than the asker release it (holdfast-keystore approve), within ten minutes; then try again',
  },
  APPROVAL_UNKNOWN: {
    exit: EXIT.failed,
    text: 'the keystore knows no such request, or this approver may not see it',
    next: 'compare the request with what the asker was shown; it is good for ten minutes',
  },
  APPROVAL_OWN: {
    exit: EXIT.forbidden,
    text: 'nobody releases what they asked for themselves',
    next: 'let another approver of the tenant release it',
  },
  APPROVAL_GIVEN: {
    exit: EXIT.failed,
    text: 'you have released this already',
    next: 'nothing more is needed of you: who asked can fetch it, once, within ten minutes of asking',
  },
  APPROVER_REFUSED: {
    exit: EXIT.forbidden,
    text: 'the keystore does not know this approver, or the password is wrong',
    next: 'try again; a keystore operator can give a new password: holdfast-keystore approver add',
  },
  ESCROW_UNREADABLE: {
    exit: EXIT.damaged,
    text: "what the keystore keeps does not open with the slot's key",
    next: 'use the recovery file or another device; report it: it was sealed to another slot, or altered',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of speaking with the keystore. */
export const fault = faults(KEYSTORE_ERRORS)
