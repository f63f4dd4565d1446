// Waiting: a server that was started is asked again and again until it is as it should be, and never longer than agreed.
import { setTimeout as pause } from 'node:timers/promises'
import { fault } from './errors.ts'

const PAUSE_MS = 25

export type Patience = {
  /** What is waited for, for the error. */
  readonly what: string
  readonly timeout_ms: number
  /** Says more when it was in vain, for example the end of a log. */
  readonly explain?: (() => string) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Asks until the answer is neither undefined nor false.
 *
 * @param probe  what it throws ends the waiting: an answer that may still change is undefined, not an error
 * @throws KEYSTORE_SERVER_FAILED after timeout_ms, or the reason of the signal
 */
export async function until<Answer>(probe: () => Promise<Answer | undefined | false>, { what, timeout_ms, explain, signal }: Patience): Promise<Answer> {
  const begun_ms = performance.now()
  for (;;) {
    signal?.throwIfAborted()
    const answer = await probe()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() - begun_ms > timeout_ms)
      throw fault('KEYSTORE_SERVER_FAILED', { expected: `${what} within ${timeout_ms / 1000} s`, found: explain?.() ?? 'not so' })
    await pause(PAUSE_MS)
  }
}
