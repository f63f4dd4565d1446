// `holdfast recover`: restoring from an archive directory and a key file, with no server at all.
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { EXIT } from '#protocol/fault.ts'
import { localTime } from '#restore/at.ts'
import { bytePath } from '#restore/byte-path.ts'
import { ON_CONFLICT, type OnConflict } from '#restore/conflict.ts'
import { recover } from '#restore/recover.ts'
import type { Frame } from './frame.ts'
import { readKeyRing } from './read-key-ring.ts'
import { failureLine, reportRestore } from './restore-report.ts'

type Options = {
  readonly archive: string
  readonly keyFile: string
  readonly to: string
  readonly at: string
  readonly onConflict: OnConflict
  readonly resume?: true
}

export function registerRecover(program: Command, frame: Frame): void {
  program
    .command('recover')
    .description('Restore from an archive directory with a key file: no server, no pairing. Goes past damage, and names what is lost.')
    .argument('[path...]', 'what to restore (default: everything)')
    .requiredOption('--archive <dir>', 'the archive: a copy, or a mounted disk')
    .requiredOption('--key-file <file>', 'the recovery file of the user, see `holdfast key export`')
    .requiredOption('--to <dir>', 'where to; made if it is not there')
    .option('--at <snapshot>', 'latest (the newest that is intact), the beginning of a snapshot id, or a time', 'latest')
    .addOption(new Option('--on-conflict <rule>', 'when something is in the place of a file').choices(ON_CONFLICT).default('rename'))
    .option('--resume', 'go on with a restore that was interrupted; what is there already is checked and kept')
    .action(async (paths: string[], options: Options) => {
      const start_ms = performance.now()
      const target = resolve(options.to)
      const ring = readKeyRing(resolve(options.keyFile))
      try {
        let total_bytes: number | undefined
        const { tally, snapshot, archive, damage_count, lost_snapshots } = await recover({
          directory: resolve(options.archive),
          ring,
          target,
          paths: paths.map(bytePath),
          at: options.at,
          onConflict: options.onConflict,
          isResume: options.resume === true,
          signal: frame.signal,
          onSnapshot: ({ info, row }) => {
            total_bytes = paths.length === 0 ? info.counts.bytes : undefined
            frame.say(`recovering snapshot ${row.snapshot.slice(0, 12)} of ${info.hostname}, ${localTime(info.end_ms)}`)
          },
          onProgress: ({ files, written_bytes }) => frame.progress.update({ done_bytes: written_bytes, total_bytes, note: `${files} files` }),
          onFailure: failure => frame.say(failureLine(failure.isDamage ? 'lost' : 'not restored', failure)),
          onDamage: ({ segment, offset, length, reason, id }) =>
            frame.say(
              reason === 'torn'
                ? `note: the last write of segment ${segment} is not whole (${length} bytes at ${offset}): cut by a power failure, or while it was copied; a backup that was just being made is not in it`
                : `damaged: segment ${segment}, ${length} bytes at ${offset}: ${reason}${id === undefined ? '' : ` (record ${id})`}`,
            ),
          onLostSnapshot: (id, lost) => frame.say(`damaged: snapshot ${id}: ${lost.message}`),
        })
        reportRestore(
          frame,
          tally,
          { snapshot: snapshot.row.snapshot, archive, damaged_places: damage_count, damaged_snapshots: lost_snapshots },
          target,
          performance.now() - start_ms,
        )
        if (damage_count > 0 || lost_snapshots > 0) frame.exit(EXIT.damaged)
      } finally {
        ring.wipe()
      }
    })
}
