// `holdfast find`: files by pattern, in one snapshot or in all.
import type { Command } from 'commander'
import { find } from '#restore/find.ts'
import { createGlob } from '#restore/glob.ts'
import { openSnapshotAt, openSnapshots } from '#restore/snapshots.ts'
import { entryAsJson, entryLine } from './entry-line.ts'
import type { Frame } from './frame.ts'
import { withArchive } from './with-archive.ts'

export function registerFind(program: Command, frame: Frame): void {
  program
    .command('find')
    .description('Find files by name, or by path if the pattern has a slash: "*.pdf", "/home/**/taxes*". Every version is shown once.')
    .argument('<pattern>', '* and ? within a name, ** across directories, [abc]')
    .option('--at <snapshot>', 'latest, the beginning of a snapshot id, or a time', 'latest')
    .option('--all', 'in all snapshots, newest first')
    .action((pattern: string, options: { at: string; all?: true }) =>
      withArchive(frame, async ({ source, keys }) => {
        const matches = createGlob(pattern)
        const snapshots = options.all ? openSnapshots(source, keys, (await source.snapshots()).toReversed()) : [await openSnapshotAt(source, keys, options.at)]
        const found: Record<string, unknown>[] = []
        for await (const { snapshot, entry } of find(source, keys, snapshots, matches, lost => frame.say(`damaged: ${lost.message}`))) {
          const id = snapshot.row.snapshot
          if (frame.isJson()) found.push({ snapshot: id, ...entryAsJson(entry) })
          else frame.line(options.all ? `${id.slice(0, 12)} ${entryLine(entry)}` : entryLine(entry))
        }
        frame.result({ found })
      }),
    )
}
