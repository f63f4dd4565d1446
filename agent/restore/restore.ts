// One restore, from a snapshot to files: pages are read as a stream, planned into windows, and carried out with two
// windows at once at most. Memory depends on neither the number of files nor their size. A verification of everything
// that is stored (`target: undefined`) goes the same way, and writes nothing.
import type { ArchiveKeys, KeyRing } from '#format/keys.ts'
import { displayPath } from './byte-path.ts'
import type { OnConflict } from './conflict.ts'
import { fault } from './errors.ts'
import { createFetcher } from './fetch-blocks.ts'
import { createGround } from './ground.ts'
import type { Failure, Outcome } from './messages.ts'
import { readPages } from './pages.ts'
import { createPlanner, type Window } from './planner.ts'
import type { RecordSource } from './record-source.ts'
import { createSelection } from './selection.ts'
import type { OpenSnapshot } from './snapshots.ts'
import { addFailure, addOutcome, createTally, type Tally } from './tally.ts'
import { type RunningWindow, runWindow, type WindowContext } from './window.ts'
import { startWorkers } from './worker-pool.ts'

export type RestoreOptions = {
  readonly source: RecordSource
  /** Both stay the caller's, to wipe. */
  readonly keys: ArchiveKeys
  readonly ring: KeyRing
  readonly snapshot: OpenSnapshot
  /** Byte strings; none: everything. */
  readonly paths: readonly string[]
  /** An absolute path; undefined: everything is read and checked, nothing written. */
  readonly target: string | undefined
  readonly onConflict: OnConflict
  /** Takes over what an earlier run has restored, after checking it. */
  readonly isResume: boolean
  /** False for pages that need not be looked at (by ordinal). */
  readonly isPageNeeded?: (ordinal: number) => boolean
  readonly onProgress?: (tally: Readonly<Tally>) => void
  readonly onFailure?: (failure: Failure) => void
  readonly signal?: AbortSignal
}

/**
 * Restores; what could not be restored is in the tally, by name, and the rest is restored all the same.
 *
 * @returns counts, failures and lost ranges
 * @throws PATH_NOT_IN_SNAPSHOT  nothing was restored of one of `paths`, and no page is lost
 * @throws TARGET_UNUSABLE, TARGET_FULL, RESTORE_WORKER_FAILED, faults of the source such as UNREACHABLE; a later run may resume
 */
export async function restore(options: RestoreOptions): Promise<Tally> {
  const { source, keys, snapshot, signal } = options
  const tally = createTally()
  const selection = createSelection(options.paths)
  const onFailure = (failure: Failure): void => addFailure(tally, failure, options.onFailure)
  const ground = options.target === undefined ? undefined : createGround(options.target, options.onConflict, options.isResume)
  const pool = startWorkers(options.ring, keys, {
    archive: keys.archive,
    target: options.target,
    onConflict: options.onConflict,
    isResume: options.isResume,
  })
  const slots: number[] = []
  let slotCount = 0
  const planner = createPlanner({ keys, selection, ground, takeSlot: () => slots.pop() ?? slotCount++, onFailure })
  const context: WindowContext = {
    keys,
    pool,
    fetcher: createFetcher(source),
    isResume: options.isResume,
    isVerification: options.target === undefined,
    signal,
    onOutcome: (outcome: Outcome) => {
      addOutcome(tally, outcome, options.onFailure)
      options.onProgress?.(tally)
    },
    onFailure,
    finishDirectories: (window: Window) => {
      for (const entry of window.complete) {
        const failure = ground?.finishDirectory(entry)
        if (failure) onFailure({ path: entry.path, ...failure })
        tally.directories++
      }
    },
    releaseSlot: slot => void slots.push(slot),
  }
  const running: RunningWindow[] = []
  const begin = async (isLast: boolean): Promise<void> => {
    if (signal?.aborted) throw signal.reason
    const previous = running.at(-1)
    await previous?.started
    while (running.length >= 2) await running.shift()?.done
    running.push(runWindow(planner.take(isLast), context, previous?.done ?? Promise.resolve()))
  }
  try {
    let lastPath: string | undefined
    let isRangeOpen = false
    for await (const read of readPages(source, keys, snapshot.pages, selection, options.isPageNeeded)) {
      if ('lost' in read) {
        planner.loseTrack()
        if (!isRangeOpen) tally.lost.push({ after: lastPath, before: undefined, reason: read.lost.message })
        tally.damage_count++
        isRangeOpen = true
        continue
      }
      const { page } = read
      if (isRangeOpen) {
        tally.lost.splice(-1, 1, { ...(tally.lost.at(-1) ?? { after: undefined, reason: '' }), before: page.path(0) })
        isRangeOpen = false
      }
      lastPath = page.path(page.count - 1)
      planner.add(read)
      if (planner.isWindowFull()) await begin(false)
    }
    await begin(true)
    for (const { done } of running) await done
  } finally {
    await pool.close()
    ground?.close()
  }
  const unseen = selection.unseen()
  if (unseen[0] !== undefined && tally.lost.length === 0) {
    throw fault('PATH_NOT_IN_SNAPSHOT', { found: unseen.slice(0, 3).map(displayPath).join(', '), facts: { missing: unseen.map(displayPath) } })
  }
  return tally
}
