// `holdfast diff`: what changed between two snapshots.
import type { Command } from 'commander'
import { type Difference, difference } from '#restore/listing.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import { entryAsJson, entryLine } from './entry-line.ts'
import type { Frame } from './frame.ts'
import { withArchive } from './with-archive.ts'

const MARKS: Readonly<Record<Difference['kind'], string>> = { added: '+', removed: '-', changed: '~' }

export function registerDiff(program: Command, frame: Frame): void {
  program
    .command('diff')
    .description('Show what changed from one snapshot to another: + added, - removed, ~ changed.')
    .argument('<older>', 'latest, the beginning of a snapshot id, or a time')
    .argument('<newer>', 'likewise')
    .action((older: string, newer: string) =>
      withArchive(frame, async ({ source, keys }) => {
        const [from, to] = [await openSnapshotAt(source, keys, older), await openSnapshotAt(source, keys, newer)]
        const counts = { added: 0, removed: 0, changed: 0 }
        const differences: Record<string, unknown>[] = []
        for await (const { kind, entry } of difference(source, keys, from, to)) {
          counts[kind]++
          if (frame.isJson()) differences.push({ kind, ...entryAsJson(entry) })
          else frame.line(`${MARKS[kind]} ${entryLine(entry)}`)
        }
        frame.result({ older: from.row.snapshot, newer: to.row.snapshot, ...counts, differences }, [
          `${counts.added} added, ${counts.removed} removed, ${counts.changed} changed`,
        ])
      }),
    )
}
