// `holdfast ls`: what is in a snapshot.
import type { Command } from 'commander'
import { bytePath } from '#restore/byte-path.ts'
import { list } from '#restore/listing.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import { entryAsJson, entryLine } from './entry-line.ts'
import type { Frame } from './frame.ts'
import { withArchive } from './with-archive.ts'

export function registerLs(program: Command, frame: Frame): void {
  program
    .command('ls')
    .description('List a directory of a snapshot.')
    .argument('<snapshot>', 'latest, the beginning of a snapshot id, or a time')
    .argument('[path]', 'the directory or file', '/')
    .option('--recursive', 'everything below it')
    .action((at: string, path: string, options: { recursive?: true }) =>
      withArchive(frame, async ({ source, keys }) => {
        const snapshot = await openSnapshotAt(source, keys, at)
        const entries: Record<string, unknown>[] = []
        for await (const entry of list(source, keys, snapshot, bytePath(path), options.recursive === true)) {
          if (frame.isJson()) entries.push(entryAsJson(entry))
          else frame.line(entryLine(entry))
        }
        frame.result({ snapshot: snapshot.row.snapshot, entries })
      }),
    )
}
