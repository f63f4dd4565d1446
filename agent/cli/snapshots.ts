// `holdfast snapshots`: which states of this device can be restored.
import type { Command } from 'commander'
import { EXIT } from '#protocol/fault.ts'
import { localTime } from '#restore/at.ts'
import { displayPath } from '#restore/byte-path.ts'
import { openSnapshots } from '#restore/snapshots.ts'
import type { Frame } from './frame.ts'
import { formatBytes, formatSeconds } from './progress.ts'
import { table } from './table.ts'
import { withArchive } from './with-archive.ts'

export function registerSnapshots(program: Command, frame: Frame): void {
  program
    .command('snapshots')
    .description('List the snapshots of this device, oldest first, with local times.')
    .action(() =>
      withArchive(frame, async ({ source, keys }) => {
        const rows: Record<string, unknown>[] = []
        const lines: string[][] = []
        for await (const snapshot of openSnapshots(source, keys, await source.snapshots())) {
          const { row } = snapshot
          if ('lost' in snapshot) {
            frame.say(`damaged: snapshot ${row.snapshot}: ${snapshot.lost.message}`)
            frame.exit(EXIT.damaged)
            rows.push({ ...row, time: localTime(row.received_ms), damaged: true })
            lines.push([row.snapshot.slice(0, 12), localTime(row.received_ms), 'damaged'])
            continue
          }
          const { info } = snapshot
          rows.push({
            ...row,
            time: localTime(row.received_ms),
            hostname: info.hostname,
            paths: info.paths.map(displayPath),
            start_ms: info.start_ms,
            end_ms: info.end_ms,
            ...info.counts,
            unreadable_count: info.unreadable_count,
          })
          lines.push([
            row.snapshot.slice(0, 12),
            localTime(row.received_ms),
            String(info.counts.files),
            formatBytes(info.counts.bytes),
            formatSeconds((info.end_ms - info.start_ms) / 1000),
            info.unreadable_count > 0 ? `${info.unreadable_count} unreadable` : '',
            info.paths.map(displayPath).join(' '),
          ])
        }
        frame.result({ snapshots: rows }, lines.length === 0 ? ['no snapshots yet'] : table(['snapshot', 'time', 'files', 'size', 'took', '', 'of'], lines))
      }),
    )
}
