// `holdfast backup`: what changed since the last snapshot, into a new one.
import { type Command, Option } from 'commander'
import type { BackupResult } from '#backup/backup.ts'
import { startReaderWorker } from '#backup/reader-worker.ts'
import type { Unreadable } from '#backup/unreadable.ts'
import { EXIT } from '#protocol/fault.ts'
import { displayPath } from '#restore/byte-path.ts'
import type { Frame } from './frame.ts'
import { formatBytes, formatSeconds } from './progress.ts'

export type BackupCommandOptions = { readonly exclude: string[]; readonly oneFileSystem?: boolean; readonly dryRun?: true }

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
    .action(async (paths: string[], options: BackupCommandOptions) => {
      // All that a backup needs is loaded on two threads at once.
      const reader = startReaderWorker()
      try {
        const { backUpHome } = await import('./back-up-home.ts')
        const result = await backUpHome(frame, reader, paths, options, item => frame.say(unreadableLine(item)))
        report(frame, result, options.dryRun === true)
      } finally {
        await reader.end()
      }
    })
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
