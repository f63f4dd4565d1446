// `holdfast verify`: would a restore work?
import type { Command } from 'commander'
import { EXIT } from '#protocol/fault.ts'
import { displayPath } from '#restore/byte-path.ts'
import type { Failure } from '#restore/messages.ts'
import { openSnapshotAt, openSnapshots } from '#restore/snapshots.ts'
import type { LostRange } from '#restore/tally.ts'
import { verify } from '#restore/verify.ts'
import type { Frame } from './frame.ts'
import { formatSeconds } from './progress.ts'
import { failureLine, lostLine } from './restore-report.ts'
import { withArchive } from './with-archive.ts'

type Options = { readonly at?: string; readonly readData?: true }

export function registerVerify(program: Command, frame: Frame): void {
  program
    .command('verify')
    .description('Check that every snapshot is whole: every page opens, and every block is there.')
    .option('--read-data', 'also fetch and open every block, and check the content of every file')
    .option('--at <snapshot>', 'one snapshot only: latest, the beginning of an id, or a time')
    .action((options: Options) =>
      withArchive(frame, async ({ source, keys, ring }) => {
        const start_ms = performance.now()
        const snapshots =
          options.at === undefined ? openSnapshots(source, keys, (await source.snapshots()).toReversed()) : [await openSnapshotAt(source, keys, options.at)]
        const known = new Set<string>()
        const counts = { snapshots: 0, pages: 0, blocks: 0, files: 0, read_bytes: 0, damaged: 0 }
        const damaged: { snapshot: string; path: string; code: string; reason: string }[] = []
        const lost: (LostRange & { snapshot: string })[] = []
        for await (const snapshot of snapshots) {
          const id = snapshot.row.snapshot
          if ('lost' in snapshot) {
            counts.damaged++
            damaged.push({ snapshot: id, path: '', code: snapshot.lost.code, reason: snapshot.lost.message })
            frame.say(`damaged: snapshot ${id}: ${snapshot.lost.message}`)
            continue
          }
          const onFailure = (failure: Failure): void => frame.say(`${failureLine('damaged', failure)} (in snapshot ${id.slice(0, 12)})`)
          const { tally, pages, blocks } = await verify({
            source,
            keys,
            ring,
            snapshot,
            isDataRead: options.readData === true,
            known,
            onFailure,
            onProgress: ({ files, written_bytes }) =>
              frame.progress.update({ done_bytes: written_bytes, note: `${files} files of snapshot ${id.slice(0, 12)}` }),
          })
          counts.snapshots++
          counts.pages += pages
          counts.blocks += blocks
          counts.files += tally.files
          counts.read_bytes += tally.written_bytes
          counts.damaged += tally.failure_count + tally.lost.length
          for (const { path, code, reason } of tally.failures) damaged.push({ snapshot: id, path: displayPath(path), code, reason })
          for (const range of tally.lost) {
            frame.say(lostLine(range))
            lost.push({ ...range, snapshot: id })
          }
        }
        const elapsed_ms = Math.round(performance.now() - start_ms)
        const text = counts.damaged === 0 ? 'everything is whole' : `${counts.damaged} damaged, named above`
        frame.result({ ...counts, is_whole: counts.damaged === 0, damage: damaged, lost, elapsed_ms }, [
          `${counts.snapshots} snapshots, ${counts.pages} pages, ${counts.files} files${options.readData ? ', content read and checked' : ''} in ${formatSeconds(elapsed_ms / 1000)}: ${text}`,
        ])
        if (counts.damaged > 0) frame.exit(EXIT.damaged)
      }),
    )
}
