// The authority's own brake on keys, below the keystore's: whoever has found a way to be given keys gets few of them, and
// somebody is told. Counted for each tenant, over a window that slides; no more than the limit is ever remembered.
import { fault } from '#protocol/errors.ts'
import type { Alarms } from './alarms.ts'

/** A third of what the keystore lets through (60 a minute): so this is met first, unless somebody else asks there. */
export const KEY_FETCHES_MAX = 200
/** Refusals cost nothing and stop nobody, they only tell. */
export const KEY_REFUSALS_MAX = 100
export const KEY_WINDOW_MS = 600_000

export type KeyLimit = {
  /** Before a key is asked for at the keystore. @throws KEY_FETCHES_LIMITED, AUDIT_FAILED */
  admit(tenant: string): Promise<void>
  /** A device asked for a key that it may not have. @throws AUDIT_FAILED */
  refused(tenant: string): Promise<void>
}

export function createKeyLimit(alarms: Alarms, now: () => number): KeyLimit {
  const [fetches, refusals] = [createWindow(KEY_FETCHES_MAX, now), createWindow(KEY_REFUSALS_MAX, now)]
  return {
    async admit(tenant) {
      if (fetches.takes(tenant)) return
      await alarms.raise('key-fetches', tenant, `more than ${KEY_FETCHES_MAX} in ${KEY_WINDOW_MS / 60_000} minutes`)
      throw fault('KEY_FETCHES_LIMITED')
    },
    async refused(tenant) {
      if (!refusals.takes(tenant)) await alarms.raise('key-refusals', tenant, `more than ${KEY_REFUSALS_MAX} in ${KEY_WINDOW_MS / 60_000} minutes`)
    },
  }
}

/** Whether there is room for one more of a name; it then has its place until the window has passed. */
function createWindow(count_max: number, now: () => number): { takes(name: string): boolean } {
  const taken = new Map<string, number[]>()
  return {
    takes(name) {
      const now_ms = now()
      // A clock that was set back leaves nothing that would stay for ever.
      const times = (taken.get(name) ?? []).filter(time_ms => time_ms <= now_ms && now_ms - time_ms < KEY_WINDOW_MS)
      const isRoom = times.length < count_max
      if (isRoom) times.push(now_ms)
      taken.set(name, times)
      return isRoom
    },
  }
}
