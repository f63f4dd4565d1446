// How restore, recover and verify say what happened.
import { EXIT } from '#protocol/fault.ts'
import { displayPath } from '#restore/byte-path.ts'
import type { Failure } from '#restore/messages.ts'
import { FAILURES_MAX, type LostRange, type Tally } from '#restore/tally.ts'
import type { Frame } from './frame.ts'
import { formatBytes, formatSeconds } from './progress.ts'

/** One line for a file that was not restored (or is damaged). */
export const failureLine = (what: string, { path, code, reason }: Failure): string => `${what}: ${displayPath(path)}: ${code}: ${reason}`

/** One line for files that can't be named, because the page with their names is lost. */
export function lostLine({ after, before, reason }: LostRange): string {
  const from = after === undefined ? 'from the beginning' : `behind ${displayPath(after)}`
  const to = before === undefined ? 'to the end' : `up to ${displayPath(before)}`
  return `lost: everything ${from} ${to}: ${reason}`
}

export const tallyAsJson = (tally: Tally): Record<string, unknown> => ({
  files: tally.files,
  directories: tally.directories,
  written_bytes: tally.written_bytes,
  skipped: tally.skipped,
  renamed: tally.renamed.map(([path, to]) => ({ path: displayPath(path), to: displayPath(to) })),
  unrestored: tally.failures.map(({ path, code, reason }) => ({ path: displayPath(path), code, reason })),
  unrestored_count: tally.failure_count,
  lost: tally.lost.map(({ after, before, reason }) => ({
    after: after === undefined ? null : displayPath(after),
    before: before === undefined ? null : displayPath(before),
    reason,
  })),
})

export const exitOf = (tally: Tally): number =>
  tally.damage_count > 0 || tally.lost.length > 0 ? EXIT.damaged : tally.failure_count > 0 ? EXIT.unreadable : EXIT.done

/** The end of a restore: its result and its exit code. */
export function reportRestore(frame: Frame, tally: Tally, more: Readonly<Record<string, unknown>>, target: string, elapsed_ms: number): void {
  for (const lost of tally.lost) frame.say(lostLine(lost))
  const lines = [
    `${tally.files} files and ${tally.directories} directories restored to ${target}: ${formatBytes(tally.written_bytes)} in ${formatSeconds(elapsed_ms / 1000)}, all of it verified`,
  ]
  if (tally.renamed_count > 0) {
    const [path, to] = tally.renamed[0] ?? ['', '']
    lines.push(
      `${tally.renamed_count} restored under another name, because their place was taken (${displayPath(path)} → ${displayPath(to)}${tally.renamed_count > 1 ? ', …' : ''})`,
    )
  }
  if (tally.skipped > 0) lines.push(`${tally.skipped} skipped, because their place was taken`)
  if (tally.failure_count > 0)
    lines.push(`${tally.failure_count} NOT restored${tally.failure_count > FAILURES_MAX ? `; the first ${FAILURES_MAX} are named` : ', each named above'}`)
  frame.result({ ...tallyAsJson(tally), verified: true, ...more, elapsed_ms: Math.round(elapsed_ms) }, lines)
  frame.exit(exitOf(tally))
}
