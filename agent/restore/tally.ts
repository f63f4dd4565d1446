// What a restore (or a verification) has done so far, and what it could not do, by name. Lists are bounded: memory does not
// depend on how much went wrong; the counts are exact, and `onFailure` hears of every one.
import type { Failure, Outcome } from './messages.ts'

export const FAILURES_MAX = 10_000

/** A run of entries that can't be named one by one, because the page with their names is lost. Byte strings. */
export type LostRange = { readonly after: string | undefined; readonly before: string | undefined; readonly reason: string }

export type Tally = {
  files: number
  directories: number
  written_bytes: number
  skipped: number
  renamed_count: number
  failure_count: number
  damage_count: number
  readonly renamed: [string, string][]
  readonly failures: Failure[]
  readonly lost: LostRange[]
}

export const createTally = (): Tally => ({
  files: 0,
  directories: 0,
  written_bytes: 0,
  skipped: 0,
  renamed_count: 0,
  failure_count: 0,
  damage_count: 0,
  renamed: [],
  failures: [],
  lost: [],
})

export function addFailure(tally: Tally, failure: Failure, onFailure?: (failure: Failure) => void): void {
  tally.failure_count++
  if (failure.isDamage) tally.damage_count++
  if (tally.failures.length < FAILURES_MAX) tally.failures.push(failure)
  onFailure?.(failure)
}

export function addOutcome(tally: Tally, outcome: Outcome, onFailure?: (failure: Failure) => void): void {
  tally.files += outcome.files
  tally.written_bytes += outcome.written_bytes
  tally.skipped += outcome.skipped
  tally.renamed_count += outcome.renamed.length
  for (const pair of outcome.renamed) if (tally.renamed.length < FAILURES_MAX) tally.renamed.push(pair)
  for (const failure of outcome.failures) addFailure(tally, failure, onFailure)
}
