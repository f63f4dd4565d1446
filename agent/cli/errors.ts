// The errors of the command itself. COMMANDS.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const CLI_ERRORS = {
  USAGE_WRONG: { exit: EXIT.usage, text: 'the command was not understood', next: 'see `holdfast --help`' },
  HOME_MISSING: { exit: EXIT.usage, text: 'no state directory was named', next: 'name it with --home DIR, or set HOLDFAST_HOME' },
  HOME_UNUSABLE: { exit: EXIT.failed, text: 'the state directory can not be used', next: 'name a directory of your own with --home DIR' },
  HOME_NEWER: { exit: EXIT.failed, text: 'the state directory was written by a newer version', next: 'update this agent' },
  HOME_DAMAGED: { exit: EXIT.damaged, text: 'a file of the state directory is damaged', next: 'delete the file, or unpair with --force and pair again' },
  PASSWORD_MISSING: { exit: EXIT.usage, text: 'no password was given', next: 'type it at the prompt, or use --password-file F (or - for standard input)' },
  FILE_EXISTS: { exit: EXIT.failed, text: 'the file exists already', next: 'name another file: nothing is overwritten' },
  FILE_UNUSABLE: { exit: EXIT.failed, text: 'a file can not be read or written', next: 'check its path and permissions' },
  DISK_FULL: { exit: EXIT.failed, text: 'a volume of this device is full', next: 'make room, then run the same command again' },
  INTERRUPTED: { exit: EXIT.interrupted, text: 'stopped', next: 'run the same command again: it goes on where it was' },
  PASSPHRASE_WEAK: {
    exit: EXIT.usage,
    text: 'the passphrase is not one to rely on',
    next: 'take at least 12 bytes, several words for example, and type it twice',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of the command line. */
export const fault = faults(CLI_ERRORS)
