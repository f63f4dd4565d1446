// The errors of a backup. COMMANDS.md has a row for each.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const BACKUP_ERRORS = {
  BACKUP_SET_EMPTY: { exit: EXIT.usage, text: 'nothing was chosen to be backed up', next: 'name the folders once: holdfast backup PATH…' },
  PATH_NOT_FOUND: { exit: EXIT.usage, text: 'a path of the backup set does not exist', next: 'name existing paths' },
  CACHE_NEWER: { exit: EXIT.failed, text: 'the cache was written by a newer version', next: 'update this agent, or delete the folder cache/ in its home' },
  ARCHIVE_ROLLED_BACK: {
    exit: EXIT.damaged,
    text: 'the archive ends before the newest snapshot that the authority has recorded',
    next: 'tell the administrator: the storage node may have been restored from an old copy; nothing was changed',
  },
  BACKUP_UNFINISHED: { exit: EXIT.failed, text: 'the storage node lost records while they were sent', next: 'check its disk, then back up again' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of a backup. */
export const fault = faults(BACKUP_ERRORS)
