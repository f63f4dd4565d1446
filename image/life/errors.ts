// The errors of looking after the machine; LIFE.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const LIFE_ERRORS = {
  ACT_UNKNOWN: { status: 404, exit: EXIT.usage, text: 'the machine has no such act', next: 'compare the versions; LIFE.md lists the acts' },
  MACHINE_BUSY: { status: 409, exit: EXIT.failed, text: 'the machine is busy with something else', next: 'wait until that has ended, then try again' },
  PROGRAM_FAILED: { status: 500, exit: EXIT.failed, text: 'a program of the system failed', next: 'see what it said; fetch a support bundle' },
  DISKS_DAMAGED: {
    status: 500,
    exit: EXIT.damaged,
    text: 'the list of data disks can not be read',
    next: 'do not use the disks anew: restore life/disks.json from a copy of the state',
  },
  DISK_UNKNOWN: { status: 404, exit: EXIT.failed, text: 'there is no such disk', next: 'list the disks' },
  DISK_CHANGED: {
    status: 409,
    exit: EXIT.failed,
    text: 'what is on the disk is not what was confirmed',
    next: 'list the disks again, look, and confirm what is there now',
  },
  DISK_NOT_FREE: { status: 409, exit: EXIT.failed, text: 'this disk can not be used for that', next: 'choose another disk' },
  DISK_TOO_SMALL: { status: 409, exit: EXIT.failed, text: 'the disk is too small', next: 'choose a larger disk' },
  DISKS_IN_USE: { status: 409, exit: EXIT.failed, text: 'there are two data disks already', next: 'replace one of them instead' },
  DISKS_NONE: { status: 409, exit: EXIT.failed, text: 'no data disks are in use', next: 'use one or two first' },
  DISK_MISSING: {
    status: 503,
    exit: EXIT.unreachable,
    text: 'the data disks are not there, so the archives are not',
    next: 'switch off, connect the disks, and switch on; if one is lost, replace it',
  },
  DISK_STALE: {
    status: 503,
    exit: EXIT.unreachable,
    text: 'only a disk is there that missed what was written since',
    next: 'connect the other data disk too: alone this one would lose what was acknowledged',
  },
  RECOVERY_KEY_WRONG: {
    status: 403,
    exit: EXIT.forbidden,
    text: 'this is not the recovery key of this appliance',
    next: 'type the key that was shown at set-up',
  },
  COPY_DIFFERS: {
    status: 500,
    exit: EXIT.damaged,
    text: 'a copy is not what was copied',
    next: 'try again; if it happens again, the disk is bad',
  },
  TARGET_TOO_FULL: {
    status: 507,
    exit: EXIT.failed,
    text: 'there is not enough room',
    next: 'make room or take a larger disk, then try again: what is there is kept',
  },
  USB_UNREADABLE: {
    status: 409,
    exit: EXIT.failed,
    text: 'the USB disk has no file system that can be used',
    next: 'format it as exFAT, ext4 or FAT32 on another computer',
  },
  EXPORT_INVALID: { status: 409, exit: EXIT.failed, text: 'this is no export of archives', next: 'connect the disk that the export was written to' },
  EXPORT_DAMAGED: {
    status: 409,
    exit: EXIT.damaged,
    text: 'a file of the export is damaged',
    next: 'export again, if the old appliance is there; `recover` reads what is intact',
  },
  RESET_NOT_ASKED: { status: 409, exit: EXIT.failed, text: 'no factory reset was asked for, or too long ago', next: 'ask for it first' },
  RESET_WORD_WRONG: { status: 403, exit: EXIT.forbidden, text: 'this is not the word on the screen', next: 'ask again, and type what the screen shows then' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of the machine. */
export const fault = faults(LIFE_ERRORS)
