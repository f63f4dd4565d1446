// Every error that can cross the wire. PROTOCOL.md has a row for each; test/laws compares the two.
import { type ErrorRow, EXIT, Fault, type FaultDetails, faults } from './fault.ts'

export const PROTOCOL_ERRORS = {
  REQUEST_INVALID: {
    status: 400,
    exit: EXIT.failed,
    text: 'the request does not have the agreed shape',
    next: 'use an agent of a version that fits this appliance',
  },
  BODY_TOO_LARGE: { status: 413, exit: EXIT.failed, text: 'the body is larger than allowed', next: 'send less in one request' },
  NOT_FOUND: { status: 404, exit: EXIT.failed, text: 'there is no such path', next: 'compare the versions of agent and appliance' },
  INTERNAL: { status: 500, exit: EXIT.failed, text: 'the server failed', next: 'look into its log; try again' },
  VERSION_UNSUPPORTED: { status: 400, exit: EXIT.failed, text: 'written by a newer version', next: 'update this program' },

  CERTIFICATE_REQUIRED: { status: 401, exit: EXIT.forbidden, text: 'no valid device certificate was presented', next: 'pair this device' },
  DEVICE_DEAUTHORIZED: { status: 403, exit: EXIT.forbidden, text: 'this device is no longer authorized', next: 'ask the administrator for a new pairing link' },
  USER_DISABLED: { status: 403, exit: EXIT.forbidden, text: 'this user is disabled', next: 'ask the administrator' },
  ARCHIVE_OWNED: {
    status: 409,
    exit: EXIT.failed,
    text: 'the archive belongs to a user already',
    next: 'see `holdfast-appliance device list`; its user takes it over with `holdfast pair --take-over`',
  },
  ARCHIVE_FORBIDDEN: { status: 403, exit: EXIT.forbidden, text: 'this archive belongs to another device', next: 'use the archive of this device' },
  TICKET_INVALID: {
    status: 401,
    exit: EXIT.forbidden,
    text: 'the ticket is missing, altered or not from this site',
    next: 'ask the authority for a new ticket',
  },
  TICKET_EXPIRED: {
    status: 401,
    exit: EXIT.unreachable,
    text: 'the ticket is expired',
    next: 'ask the authority for a new ticket; if that does not help, set the clocks of the appliance',
  },
  TICKET_NOT_FOR_THIS: {
    status: 403,
    exit: EXIT.forbidden,
    text: 'the ticket does not allow this',
    next: 'ask the authority for a ticket with the right archive and verb',
  },
  TICKET_NOT_YOURS: {
    status: 403,
    exit: EXIT.forbidden,
    text: 'the ticket is bound to another certificate',
    next: 'use the certificate that the ticket was asked for with',
  },

  LINK_INVALID: { status: 403, exit: EXIT.forbidden, text: 'the pairing link is unknown or was used before', next: 'ask the administrator for a new link' },
  LINK_EXPIRED: { status: 403, exit: EXIT.forbidden, text: 'the pairing link is expired', next: 'ask the administrator for a new link' },
  PASSWORD_WRONG: { status: 403, exit: EXIT.forbidden, text: 'the password is wrong', next: 'try again; too many wrong passwords use the link up' },
  TOO_MANY_TRIES: {
    status: 429,
    exit: EXIT.forbidden,
    text: 'too many wrong passwords',
    next: 'wait, then try again, or ask the administrator for a new link',
  },
  CSR_INVALID: { status: 400, exit: EXIT.failed, text: 'the certificate request is not valid', next: 'use an agent of a version that fits this appliance' },
  SIGN_IN_REQUIRED: {
    status: 401,
    exit: EXIT.forbidden,
    text: 'name and password of an administrator of the site are needed',
    next: 'connect with `holdfast-appliance connect`',
  },
  NOT_FIRMWARE: {
    status: 404,
    exit: EXIT.failed,
    text: 'this appliance is not the firmware: another system looks after the machine',
    next: 'do it by that system; or `holdfast-appliance connect` to an appliance that is firmware',
  },
  MACHINE_SILENT: {
    status: 502,
    exit: EXIT.failed,
    text: 'the service of the firmware does not answer',
    next: 'wait a moment and try again; if that does not help, restart the appliance',
  },
  USER_UNKNOWN: { status: 404, exit: EXIT.failed, text: 'there is no such user', next: 'add it with `holdfast-appliance user add`' },
  USER_EXISTS: { status: 409, exit: EXIT.failed, text: 'there is such a user already', next: 'choose another name' },
  TENANT_UNKNOWN: { status: 404, exit: EXIT.failed, text: 'there is no such tenant', next: 'name an existing tenant' },
  DEVICE_UNKNOWN: { status: 404, exit: EXIT.failed, text: 'there is no such device', next: 'list the devices with `holdfast-appliance device list`' },
  NAME_INVALID: { status: 400, exit: EXIT.usage, text: 'the name is not allowed', next: 'use 1 to 64 of a-z, 0-9 and -, beginning with a letter or digit' },
  PASSWORD_WEAK: { status: 400, exit: EXIT.usage, text: 'the password is too short or too long', next: 'use 8 to 1024 bytes' },

  KEYSTORE_NO_SLOT: {
    status: 503,
    exit: EXIT.unreachable,
    text: 'the keystore has no slot ready for a new user',
    next: 'try again in a minute; if the keystore is sealed or away, it must be back first',
  },
  KEYSTORE_AWAY: {
    status: 503,
    exit: EXIT.unreachable,
    text: 'the keystore is sealed, away or too busy',
    next: 'try again later; backups go on meanwhile on devices that have their key',
  },
  KEYSTORE_TROUBLE: {
    status: 500,
    exit: EXIT.failed,
    text: 'the keystore did not do what it should',
    next: "ask the administrator to look into the authority's log",
  },
  ESCROW_NONE: { status: 404, exit: EXIT.failed, text: 'no key of this user is in escrow', next: 'pair the device again' },
  ESCROW_EXISTS: {
    status: 409,
    exit: EXIT.failed,
    text: 'this user has another key in escrow already',
    next: 'nothing was changed; fetch that key, or pair the device again',
  },
  ESCROW_WAITING: {
    status: 503,
    exit: EXIT.unreachable,
    text: "the user's key has not reached the keystore yet",
    next: 'try again when the keystore is back; the first device of this user goes on with its backups meanwhile',
  },
  CUSTODY_FORBIDS: {
    status: 403,
    exit: EXIT.forbidden,
    text: "this user's key is behind a passphrase that only its owner has",
    next: 'only the owner can restore; the custody of a tenant is set with `holdfast-appliance tenant custody`',
  },
  RESTORE_NOT_APPROVED: {
    status: 409,
    exit: EXIT.unreachable,
    text: 'nobody has released this restore yet, or it waited too long',
    next: 'let an approver other than you release it (holdfast-keystore approve), within ten minutes; then try again',
  },
  RESTORE_UNKNOWN: {
    status: 404,
    exit: EXIT.failed,
    text: 'there is no such restore of yours any more',
    next: 'ask for it again: a restore ends when it was fetched whole or cancelled, when it is too old, and when the authority is restarted',
  },
  RESTORE_KEY_GONE: {
    status: 409,
    exit: EXIT.unreachable,
    text: 'the key of this restore can not be had again',
    next: 'what was restored stays; ask for it again with --resume, and have it released: an authority that was restarted, or an hour that is over, takes a new approval',
  },
  RESTORE_BUSY: { status: 409, exit: EXIT.unreachable, text: 'this restore is being fetched already', next: 'wait until that download has ended' },
  KEY_NOT_GRANTED: {
    status: 403,
    exit: EXIT.forbidden,
    text: 'this device may not fetch the key of its user any more',
    next: 'sign in again: ask the administrator for a new pairing link',
  },
  KEY_FETCHES_LIMITED: {
    status: 429,
    exit: EXIT.unreachable,
    text: 'so many keys were asked for that no more are given out for now',
    next: 'try again in ten minutes; backups go on meanwhile on devices that have their key; the administrator sees an alarm',
  },

  RECORD_INVALID: { status: 400, exit: EXIT.failed, text: 'a record is not well formed', next: 'send the record again; if it stays, the sender is broken' },
  RECORD_TOO_LARGE: { status: 413, exit: EXIT.failed, text: 'a record is larger than allowed', next: 'send smaller records' },
  RECORD_CUT: { status: 400, exit: EXIT.unreachable, text: 'the body ended inside a record', next: 'send it again' },
  RECORD_ALTERED: { status: 400, exit: EXIT.unreachable, text: 'a record does not match its digest', next: 'send it again' },
  RECORD_CONFLICT: {
    status: 409,
    exit: EXIT.failed,
    text: 'this id is stored already with other content',
    next: 'nothing was lost: the stored record is kept; ask which ids are missing before sending',
  },
  RECORD_UNKNOWN: { status: 404, exit: EXIT.damaged, text: 'no record with this id is stored', next: 'run `holdfast verify` to see what is affected' },
  ARCHIVE_UNKNOWN: { status: 404, exit: EXIT.failed, text: 'there is no such archive', next: 'check the storage node and its disk' },
  ARCHIVE_DAMAGED: { status: 500, exit: EXIT.damaged, text: 'stored data is damaged', next: 'run `holdfast-appliance reindex`, then `holdfast verify`' },
  ARCHIVE_FULL: { status: 507, exit: EXIT.failed, text: 'the volume of the storage node is full', next: 'add space; restores still work' },
  ARCHIVE_FAILED: { status: 500, exit: EXIT.failed, text: 'writing to the archive failed', next: 'check the disk of the storage node, then restart it' },
  SNAPSHOT_INCOMPLETE: {
    status: 409,
    exit: EXIT.failed,
    text: 'the snapshot needs records that are not stored',
    next: 'send the missing records, then commit the snapshot again',
  },
  SNAPSHOT_OUT_OF_SEQUENCE: {
    status: 409,
    exit: EXIT.failed,
    text: 'the snapshot does not follow the newest one',
    next: 'read the newest snapshot, then back up again',
  },
  SESSION_BUSY: { status: 409, exit: EXIT.failed, text: 'another backup of this archive is running', next: 'wait until it has ended' },
  SESSION_UNKNOWN: { status: 409, exit: EXIT.unreachable, text: 'the session is not open', next: 'open a new session and ask again which records are missing' },
  OVERLOADED: { status: 503, exit: EXIT.unreachable, text: 'the server has too much to do', next: 'try again in a moment' },
} as const satisfies Record<string, ErrorRow>

/** What can go wrong when a server begins to listen; never crosses the wire (listening.ts). */
export const LISTENING_ERRORS = {
  PORT_IN_USE: {
    exit: EXIT.failed,
    text: 'the port is in use',
    next: 'stop what uses it, or make a home with other ports (`init --authority-port`, `--storage-port`)',
  },
  ADDRESS_UNUSABLE: {
    exit: EXIT.failed,
    text: 'it is not possible to listen at this address',
    next: 'make a home with an address of this machine (`init --listen`)',
  },
} as const satisfies Record<string, ErrorRow>

export type ProtocolErrorCode = keyof typeof PROTOCOL_ERRORS

/** Makes a fault of the protocol; see PROTOCOL.md for each code. */
export const fault = faults(PROTOCOL_ERRORS)

/**
 * The fault that an error answer of a server stands for; what it says is checked, never trusted.
 *
 * @param answer  the parsed JSON body of an answer with a status of 400 or more
 */
export function faultFromAnswer(answer: unknown): Fault {
  const row = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {}
  const code = typeof row['code'] === 'string' && row['code'] in PROTOCOL_ERRORS ? (row['code'] as ProtocolErrorCode) : 'INTERNAL'
  const text = (key: string): string | undefined => (typeof row[key] === 'string' ? printable(row[key]) : undefined)
  const details: Record<string, unknown> = {}
  for (const key of ['expected', 'found', 'next']) if (text(key) !== undefined) details[key] = text(key)
  if (typeof row['facts'] === 'object' && row['facts'] !== null) details['facts'] = row['facts']
  return fault(code, details as FaultDetails)
}

const printable = (text: string): string => text.slice(0, 500).replace(/[^\x20-\x7e]/g, '?')

/** What a server answers for a fault. */
export function answerOfFault(error: Fault): { code: string; message: string; expected?: string; found?: string; next: string; facts?: unknown } {
  return {
    code: error.code,
    message: error.message,
    next: error.next,
    ...(error.expected === undefined ? {} : { expected: error.expected }),
    ...(error.found === undefined ? {} : { found: error.found }),
    ...(Object.keys(error.facts).length === 0 ? {} : { facts: error.facts }),
  }
}
