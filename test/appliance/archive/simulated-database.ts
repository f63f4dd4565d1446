// A database for the index that may be found in any state that it ever had: as after a power cut, or when an older copy was
// put back. It can also lose single batches for good, as LevelDB does when a byte of its log flips.
import type { IndexDatabase } from '../../../appliance/archive/index-database.ts'

type State = ReadonlyMap<string, Buffer>

export type SimulatedDatabase = {
  open(): Promise<IndexDatabase>
  /** Any state of the past, the last one or none at all. */
  goBack(random: () => number): void
  state(): State
  setState(state: State): void
  /** From now on so many of the batches are lost without a word. */
  loseBatches(share: number, random: () => number): void
  failBatches(fails: boolean): void
}

const STATES_KEPT = 64

export function createSimulatedDatabase(): SimulatedDatabase {
  let states: State[] = [new Map()]
  let lost_share = 0
  let fails = false
  let draw: () => number = Math.random
  const now = (): State => states.at(-1) as State
  const change = (apply: (next: Map<string, Buffer>) => void): void => {
    const next = new Map(now())
    apply(next)
    states.push(next)
    if (states.length > STATES_KEPT) states = [new Map(), ...states.slice(-STATES_KEPT / 2)]
  }
  const text = (key: Buffer): string => key.toString('latin1')
  return {
    open: async () => ({
      getMany: async keys => keys.map(key => now().get(text(key))),
      batch: async operations => {
        await Promise.resolve()
        if (fails) throw new Error('IO error: no space left on device')
        if (lost_share > 0 && draw() < lost_share) return
        change(next => {
          for (const operation of operations) {
            if (operation.type === 'put') next.set(text(operation.key), Buffer.from(operation.value))
            else next.delete(text(operation.key))
          }
        })
      },
      entries: async function* (range) {
        for (const key of [...now().keys()].sort()) {
          if (key >= text(range.gte) && key < text(range.lt)) yield [Buffer.from(key, 'latin1'), now().get(key) as Buffer]
        }
      },
      lastKey: async () => {
        const last = [...now().keys()].sort().at(-1)
        return last === undefined ? undefined : Buffer.from(last, 'latin1')
      },
      clear: async range => change(next => [...next.keys()].filter(key => key >= text(range.gte) && key < text(range.lt)).forEach(key => next.delete(key))),
      close: async () => {},
    }),
    goBack: random => {
      const choice = random()
      const state = choice < 0.3 ? now() : choice < 0.5 ? new Map<string, Buffer>() : (states[Math.floor(random() * states.length)] as State)
      states.push(state)
    },
    state: now,
    setState: state => {
      states.push(state)
    },
    loseBatches: (share, random) => {
      lost_share = share
      draw = random
    },
    failBatches: does => {
      fails = does
    },
  }
}
