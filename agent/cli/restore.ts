// `holdfast restore`: files out of a snapshot of this device.
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { bytePath } from '#restore/byte-path.ts'
import { ON_CONFLICT, type OnConflict } from '#restore/conflict.ts'
import { restore } from '#restore/restore.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import type { Frame } from './frame.ts'
import { failureLine, reportRestore } from './restore-report.ts'
import { withArchive } from './with-archive.ts'

type Options = { readonly to: string; readonly at: string; readonly onConflict: OnConflict; readonly resume?: true }

export function registerRestore(program: Command, frame: Frame): void {
  program
    .command('restore')
    .description('Restore files: /home/ann/x comes to DIR/home/ann/x. Everything is verified.')
    .argument('[path...]', 'what to restore (default: everything)')
    .requiredOption('--to <dir>', 'where to; made if it is not there')
    .option('--at <snapshot>', 'latest, the beginning of a snapshot id, or a time such as "2026-03-31 17:05"', 'latest')
    .addOption(new Option('--on-conflict <rule>', 'when something is in the place of a file').choices(ON_CONFLICT).default('rename'))
    .option('--resume', 'go on with a restore that was interrupted; what is there already is checked and kept')
    .action(async (paths: string[], options: Options) => {
      const start_ms = performance.now()
      const target = resolve(options.to)
      await withArchive(frame, async ({ source, keys, ring }) => {
        const snapshot = await openSnapshotAt(source, keys, options.at)
        const total_bytes = paths.length === 0 ? snapshot.info.counts.bytes : undefined
        const tally = await restore({
          source,
          keys,
          ring,
          snapshot,
          paths: paths.map(bytePath),
          target,
          onConflict: options.onConflict,
          isResume: options.resume === true,
          signal: frame.signal,
          onProgress: ({ files, written_bytes }) => frame.progress.update({ done_bytes: written_bytes, total_bytes, note: `${files} files` }),
          onFailure: failure => frame.say(failureLine('not restored', failure)),
        })
        reportRestore(frame, tally, { snapshot: snapshot.row.snapshot }, target, performance.now() - start_ms)
      })
    })
}
