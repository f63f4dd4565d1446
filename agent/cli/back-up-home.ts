// One backup of one home: opens its storage and its connection, and closes them whatever happens.
import { openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { lockHome } from '#authorized-storage/home-lock.ts'
import { type BackupResult, backUp } from '#backup/backup.ts'
import { chooseBackupSet } from '#backup/backup-set.ts'
import { createReaderThread } from '#backup/reader-thread.ts'
import type { ReaderWorker } from '#backup/reader-worker.ts'
import type { Unreadable } from '#backup/unreadable.ts'
import { ZSTD_LEVEL_DEFAULT } from '#format/pack.ts'
import { openSite } from '#site/site.ts'
import { readAgentFile, writeAgentFile } from './agent-file.ts'
import type { BackupCommandOptions } from './backup.ts'
import type { Frame } from './frame.ts'
import { putSealedKeyBeside } from './sealed-key-beside.ts'
import { keepKeyCurrent, requireKey } from './user-key.ts'

/** @throws HOME_BUSY, NOT_PAIRED, BACKUP_SET_EMPTY, PATH_NOT_FOUND, and those of backUp() */
export async function backUpHome(
  frame: Frame,
  reader: ReaderWorker,
  paths: string[],
  options: BackupCommandOptions,
  onUnreadable: (item: Unreadable) => void,
): Promise<BackupResult> {
  const home = frame.home()
  const unlock = await lockHome(home)
  try {
    const storage = await openAuthorizedStorage(home)
    try {
      const site = await openSite(storage, frame.signal)
      try {
        const kept = readAgentFile(home)
        const set = chooseBackupSet(kept.backup_set, paths, options.exclude, options.oneFileSystem)
        if (options.dryRun !== true && JSON.stringify(set) !== JSON.stringify(kept.backup_set)) writeAgentFile(home, { ...kept, backup_set: set })
        if (options.dryRun === true) await requireKey(site, storage)
        else {
          const key = await keepKeyCurrent(site, storage)
          if (key === 'passphrase-wanted')
            frame.say('A new key is due, behind a passphrase of yours; until then backups go on under the one before: holdfast key renew')
          await putSealedKeyBeside(home, site, storage)
        }
        return await backUp(site, createReaderThread(reader), {
          home,
          paths: set.paths,
          excludes: set.excludes,
          oneFileSystem: set.one_file_system,
          isDryRun: options.dryRun === true,
          compressionLevel: ZSTD_LEVEL_DEFAULT,
          agentVersion: frame.version,
          signal: frame.signal,
          onProgress: (counts, path) =>
            frame.progress.update({ done_bytes: counts.read_bytes, note: `${counts.files} files, ${counts.changed_files} changed`, label: path }),
          onUnreadable,
        })
      } finally {
        site.close()
      }
    } finally {
      await storage.close()
    }
  } finally {
    unlock()
  }
}
