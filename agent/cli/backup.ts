// `holdfast backup`: what changed since the last snapshot, into a new one.
import { type Command, Option } from 'commander'
import { openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { lockHome } from '#authorized-storage/home-lock.ts'
import { type BackupResult, backUp } from '#backup/backup.ts'
import { chooseBackupSet } from '#backup/backup-set.ts'
import { type ReaderThread, startReaderThread } from '#backup/reader-thread.ts'
import type { Unreadable } from '#backup/unreadable.ts'
import { ZSTD_LEVEL_DEFAULT } from '#format/pack.ts'
import { EXIT } from '#protocol/fault.ts'
import { displayPath } from '#restore/byte-path.ts'
import { openSite } from '#site/site.ts'
import { readAgentFile, writeAgentFile } from './agent-file.ts'
import type { Frame } from './frame.ts'
import { formatBytes, formatSeconds } from './progress.ts'

type Options = { readonly exclude: string[]; readonly oneFileSystem?: boolean; readonly dryRun?: true }

const REASONS: Readonly<Record<string, string>> = {
  CHANGED: 'it changed while it was read, every time; stored as it was read last',
  VANISHED: 'it was gone, or something else, before it could be read',
  SOCKET: 'a socket: never stored',
  PATH_TOO_LONG: 'its path is longer than the system takes',
}

export function registerBackup(program: Command, frame: Frame): void {
  program
    .command('backup')
    .description('Back up what changed. The first run needs PATHs, which become the backup set; later runs need none.')
    .argument('[path...]', 'folders and files; given again, they replace the backup set')
    .option(
      '--exclude <pattern>',
      'leave out what matches, in gitignore syntax, relative to each PATH (may be repeated)',
      (pattern: string, all: string[]) => [...all, pattern],
      [],
    )
    .addOption(new Option('--one-file-system', 'stay on the file systems of the PATHs').conflicts('allFileSystems'))
    .option('--no-one-file-system', 'go into other file systems too (the default)')
    .option('--dry-run', 'say what would be read, and send nothing')
    .action(async (paths: string[], options: Options) => {
      const result = await run(frame, paths, options)
      report(frame, result, options.dryRun === true)
    })
}

async function run(frame: Frame, paths: string[], options: Options): Promise<BackupResult> {
  const home = frame.home()
  const unlock = await lockHome(home)
  // It loads while the connection is made.
  const reader = startReaderThread()
  try {
    return await backUpHome(frame, home, reader, paths, options)
  } finally {
    await reader.end()
    unlock()
  }
}

async function backUpHome(frame: Frame, home: string, reader: ReaderThread, paths: string[], options: Options): Promise<BackupResult> {
  const storage = await openAuthorizedStorage(home)
  try {
    const site = await openSite(storage, frame.signal)
    try {
      const kept = readAgentFile(home)
      const set = chooseBackupSet(kept.backup_set, paths, options.exclude, options.oneFileSystem)
      if (options.dryRun !== true && JSON.stringify(set) !== JSON.stringify(kept.backup_set)) writeAgentFile(home, { ...kept, backup_set: set })
      return await backUp(site, reader, {
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
        onUnreadable: item => frame.say(unreadableLine(item)),
      })
    } finally {
      site.close()
    }
  } finally {
    await storage.close()
  }
}

const unreadableLine = ({ path, reason }: Unreadable): string =>
  `${reason === 'SOCKET' ? 'skipped' : 'not read as it should be'}: /${displayPath(path).replace(/^\//, '')}: ${REASONS[reason] ?? reason}`

function report(frame: Frame, result: BackupResult, isDryRun: boolean): void {
  const { counts, sent_bytes, elapsed_ms } = result
  const unreadable = result.unreadable.filter(({ reason }) => reason !== 'SOCKET')
  frame.result(
    {
      ...(result.snapshot === undefined ? {} : { snapshot: result.snapshot, sequence: result.sequence }),
      files: counts.files,
      directories: counts.directories,
      others: counts.others,
      changed_files: counts.changed_files,
      read_bytes: counts.read_bytes,
      new_blocks: counts.new_blocks,
      sent_bytes,
      unreadable: unreadable.map(({ path, reason }) => ({ path: displayPath(path), reason })),
      elapsed_ms,
    },
    isDryRun
      ? [`${counts.files} files in ${counts.directories} directories, ${counts.changed_files} of them new or changed; nothing was sent`]
      : [
          `Snapshot ${result.snapshot?.slice(0, 12)} (number ${result.sequence}): ${counts.files} files in ${counts.directories} directories, ${counts.changed_files} of them new or changed`,
          `${formatBytes(counts.read_bytes)} read, ${formatBytes(sent_bytes)} sent in ${counts.new_blocks} records, in ${formatSeconds(elapsed_ms / 1000)}`,
          ...(unreadable.length > 0 ? [`${unreadable.length} could NOT be read as they should be, each named above`] : []),
        ],
  )
  frame.exit(unreadable.length > 0 ? EXIT.unreadable : EXIT.done)
}
