// One restore for somebody else, carried out here: the owner's key is fetched for it, used from secure memory, and forgotten.
// Invariants:
//   the key is never written; it is wiped however this ends, and when the authority says that it is over;
//   it is put together here only: what came from the keystore is sealed to a key that was made for this one answer;
//   what the authority hears is how much was done, never what it is called.
import { setTimeout as pause } from 'node:timers/promises'
import { type ArchiveKeys, decodeKeyRing, deriveArchiveKeys, type KeyRing, wipeSecureBuffer } from '#format/keys.ts'
import { createAnswerBox } from '#keystore-seal/answer-box.ts'
import { openUserKey } from '#keystore-seal/sealed-key.ts'
import { fault as protocolFault } from '#protocol/errors.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { PUSH_MS } from '#protocol/limits.ts'
import type { Push } from '#protocol/push-api.ts'
import { PUSH_CODES_MAX, type PushResult } from '#protocol/restore-api.ts'
import { landingOf } from '#restore/landing.ts'
import type { Failure } from '#restore/messages.ts'
import { restore } from '#restore/restore.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import type { Tally } from '#restore/tally.ts'
import { createTicketedSource } from '#restore/ticketed-source.ts'
import { fetchPushKey, fetchPushTicket, reportPush } from '#site/pushes.ts'
import type { Site } from '#site/site.ts'
import { exitOf } from './restore-report.ts'

/** How often the authority hears how far it has come, and says whether it is over. */
const REPORT_MS = 3_000
/** After these it may be tried again, or the authority has ended it already. */
const PASSING = ['UNREACHABLE', 'OVERLOADED', 'RESTORE_UNKNOWN', 'RESTORE_KEY_GONE', 'RESTORE_NOT_APPROVED', 'KEYSTORE_AWAY', 'DEVICE_DEAUTHORIZED']
const PAUSE_MS_MIN = 1_000
const PAUSE_MS_MAX = 60_000

export type Progress = { readonly files: number; readonly written_bytes: number; readonly total_bytes: number | null }
export type Listeners = {
  readonly onProgress: (progress: Progress) => void
  readonly onFailure: (failure: Failure) => void
  /** It waits, and goes on by itself. */
  readonly onInterrupted: (why: Fault) => void
}
export type PushedRestore = { readonly tally: Tally; readonly target: string; readonly snapshot: string }

/**
 * Carries it out, across broken connections; then the authority knows how it ended.
 *
 * @throws TARGET_UNUSABLE, TARGET_FULL, PATH_NOT_IN_SNAPSHOT, RESTORE_KEY_GONE; RESTORE_UNKNOWN it is over; DEVICE_DEAUTHORIZED
 */
export async function restorePushed(site: Site, push: Push, into: string, signal: AbortSignal, listeners: Listeners): Promise<PushedRestore> {
  const over = new AbortController()
  try {
    const target = landingOf(into, push.folder)
    const { ring, keys } = await fetchKeys(site, push)
    try {
      const done = await goOn(site, push, { ring, keys, target }, AbortSignal.any([signal, over.signal]), over, listeners)
      return { ...done, target }
    } finally {
      keys.wipe()
      ring.wipe()
    }
  } catch (error) {
    // Who is out is for the authority to say: its word wipes this device.
    if (isFault(error, 'DEVICE_DEAUTHORIZED')) await site.device()
    const code = error instanceof Fault && !signal.aborted ? error.code : undefined
    if (code !== undefined && !PASSING.includes(code)) await reportPush(site, { restore: push.restore, kind: 'failed', code }).catch(ignoreFault)
    throw error
  }
}

type Open = { readonly ring: KeyRing; readonly keys: ArchiveKeys; readonly target: string }

/** Again after every broken connection, with what is there already: the key is still here. */
async function goOn(
  site: Site,
  push: Push,
  open: Open,
  signal: AbortSignal,
  over: AbortController,
  listeners: Listeners,
): Promise<Omit<PushedRestore, 'target'>> {
  const { restore: id } = push
  const end_ms = performance.now() + PUSH_MS
  let pause_ms = PAUSE_MS_MIN
  let { snapshot, is_resume } = push
  for (;;) {
    const reporter = startReporter(site, id, over)
    const failures = new Map<string, number>()
    const source = createTicketedSource({
      archive: push.archive,
      storage: site.identity.storage,
      agent: site.agent,
      askTicket: () => fetchPushTicket(site, id),
      signal,
    })
    try {
      const opened = await openSnapshotAt(source, open.keys, snapshot === 'newest' ? 'latest' : snapshot)
      snapshot = opened.row.snapshot
      const total_bytes = push.paths.length === 0 ? opened.info.counts.bytes : null
      // Heard before the first file is written: a later run has to go on with the same snapshot.
      await reporter.tell({ snapshot, files: 0, written_bytes: 0, total_bytes })
      const tally = await restore({
        ...open,
        source,
        snapshot: opened,
        paths: push.paths,
        onConflict: push.on_conflict,
        isResume: is_resume,
        signal,
        onProgress: ({ files, written_bytes }) => {
          pause_ms = PAUSE_MS_MIN
          reporter.set({ snapshot: opened.row.snapshot, files, written_bytes, total_bytes })
          listeners.onProgress({ files, written_bytes, total_bytes })
        },
        onFailure: failure => {
          const code =
            /^[A-Z][A-Z0-9_]{0,63}$/.test(failure.code) && (failures.has(failure.code) || failures.size < PUSH_CODES_MAX - 1) ? failure.code : 'OTHER'
          failures.set(code, (failures.get(code) ?? 0) + 1)
          listeners.onFailure(failure)
        },
      })
      reporter.end()
      await reportDone(site, id, resultOf(tally, failures), signal)
      return { tally, snapshot }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (!isPassing(error)) throw error
      if (performance.now() > end_ms) throw protocolFault('RESTORE_UNKNOWN')
      listeners.onInterrupted(error)
      await reportPush(site, { restore: id, kind: 'interrupted', code: error.code }).catch(ignoreFault)
    } finally {
      reporter.end()
    }
    is_resume = true
    await pause(pause_ms, undefined, { signal }).catch(() => {
      throw signal.reason
    })
    pause_ms = Math.min(PAUSE_MS_MAX, pause_ms * 2)
  }
}

/** The owner's keys, for the one archive. They are the caller's, to wipe. */
async function fetchKeys(site: Site, push: Push): Promise<{ ring: KeyRing; keys: ArchiveKeys }> {
  const box = createAnswerBox()
  try {
    const { tenant, slot, epoch, ...answer } = await fetchPushKey(site, push.restore, box.publicKey)
    const opened = box.open(Buffer.from(answer.opened, 'base64'))
    try {
      const encoded = openUserKey(Buffer.from(answer.sealed_key, 'base64'), opened, { tenant, slot, epoch })
      try {
        return keysOf(encoded, push.archive)
      } finally {
        wipeSecureBuffer(encoded)
      }
    } finally {
      wipeSecureBuffer(opened)
    }
  } finally {
    box.wipe()
  }
}

function keysOf(encoded: Buffer, archive: string): { ring: KeyRing; keys: ArchiveKeys } {
  const ring = decodeKeyRing(encoded)
  try {
    return { ring, keys: deriveArchiveKeys(ring, archive) }
  } catch (error) {
    ring.wipe()
    throw error
  }
}

/** Tells the authority how far it has come, now and then; `over` is aborted when that says that it is over. */
function startReporter(site: Site, restore: string, over: AbortController) {
  let latest: ({ snapshot: string } & Progress) | undefined
  let telling: Promise<void> | undefined
  const tell = async (progress: { snapshot: string } & Progress): Promise<void> => {
    latest = progress
    try {
      await reportPush(site, { restore, kind: 'progress', ...progress })
    } catch (error) {
      if (isFault(error, 'RESTORE_UNKNOWN', 'DEVICE_DEAUTHORIZED')) over.abort(error)
      else ignoreFault(error)
    }
  }
  const timer = setInterval(() => {
    if (!latest || telling) return
    telling = tell(latest)
      .catch(() => {})
      .finally(() => {
        telling = undefined
      })
  }, REPORT_MS)
  return {
    tell,
    set: (progress: { snapshot: string } & Progress): void => {
      latest = progress
    },
    end: (): void => clearInterval(timer),
  }
}

/** Until the authority knows: everything is restored, but nobody can see it. */
async function reportDone(site: Site, restore: string, result: PushResult, signal: AbortSignal): Promise<void> {
  for (let pause_ms = PAUSE_MS_MIN; ; pause_ms = Math.min(PAUSE_MS_MAX, pause_ms * 2)) {
    try {
      return await reportPush(site, { restore, kind: 'done', result })
    } catch (error) {
      if (!isPassing(error) || signal.aborted) throw error
    }
    await pause(pause_ms, undefined, { signal })
  }
}

const resultOf = (tally: Tally, failures: ReadonlyMap<string, number>): PushResult => ({
  files: tally.files,
  directories: tally.directories,
  written_bytes: tally.written_bytes,
  skipped: tally.skipped,
  renamed: tally.renamed_count,
  unrestored: [...failures].map(([code, count]) => ({ code, count })),
  lost: tally.lost.length,
  exit: exitOf(tally),
})

/** The network's, not the restore's. */
const isPassing = (error: unknown): error is Fault => isFault(error, 'UNREACHABLE', 'OVERLOADED')

function ignoreFault(error: unknown): void {
  if (!(error instanceof Fault)) throw error
}
