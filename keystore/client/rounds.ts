// A round is all the requests of one act: sign in, then use the token. When a node or the leader goes away in the middle,
// nothing says which of its requests were done, and a token of two uses may have lost one: so the whole round begins anew
// on the next address, never one request of it. Going through all addresses again and again is bounded by time, because a
// new leader takes some seconds.
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { type Fault, isFault } from '#protocol/fault.ts'

/** No round begins later than this after the first one: a leader's death is over by then. */
export const ROUNDS_MS = 10_000
/** One request of a round: a node that hangs must leave time for another. */
export const ROUND_REQUEST_MS = 4_000
const PAUSE_MS = 100
const PAUSE_MS_MAX = 800

/** What says nothing about the act, only about the node. The later in this list, the more it tells a person. */
const OF_THE_NODE = ['KEYSTORE_UNREACHABLE', 'KEYSTORE_FAILED', 'KEYSTORE_LEADERLESS', 'KEYSTORE_SEALED', 'KEYSTORE_AUDIT_FAILED', 'KEYSTORE_UNTRUSTED']
/** These do not pass by themselves within seconds: if all nodes say so, it is final. */
const LASTING = new Set(['KEYSTORE_SEALED', 'KEYSTORE_AUDIT_FAILED', 'KEYSTORE_UNTRUSTED'])

export type Rounds = {
  /**
   * Does an act on the address that answered last, then on the others.
   *
   * @param act  a whole round; `attempt` counts from 1
   * @throws what the act throws, where it is not about the node; otherwise the most telling of what the nodes said
   */
  run<Result>(act: (address: string, attempt: number) => Promise<Result>): Promise<Result>
}

/** Rounds over these addresses, in turn. */
export function createRounds(addresses: readonly string[]): Rounds {
  let preferred = 0
  return {
    async run(act) {
      const end_ms = performance.now() + ROUNDS_MS
      let pause_ms = PAUSE_MS
      for (let attempt = 1; ; ) {
        const failed: Fault[] = []
        for (const _ of addresses) {
          const at = preferred
          try {
            return await act(addresses[at] ?? '', attempt++)
          } catch (error) {
            if (!isFault(error, ...OF_THE_NODE)) throw error
            failed.push(error)
            // Others may have moved it on meanwhile.
            if (preferred === at) preferred = (at + 1) % addresses.length
          }
        }
        if (failed.every(({ code }) => LASTING.has(code)) || performance.now() + pause_ms > end_ms) throw mostTelling(failed)
        await pause(pause_ms)
        pause_ms = Math.min(pause_ms * 2, PAUSE_MS_MAX)
      }
    },
  }
}

const mostTelling = (failed: readonly Fault[]): Fault =>
  failed.reduce((most, one) => (OF_THE_NODE.indexOf(one.code) > OF_THE_NODE.indexOf(most.code) ? one : most))
