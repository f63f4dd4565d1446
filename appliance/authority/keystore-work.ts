// What the authority does at the keystore by itself: delivers keys that wait, and makes slots ahead of need. When the
// keystore is sealed or away it tries again, with pauses that double; somebody who needs it wakes it.
import { Fault } from '#protocol/fault.ts'
import type { Escrows } from './escrow.ts'
import type { Slots } from './slots.ts'
import type { State } from './state.ts'

const PAUSE_MS_MIN = 250
const PAUSE_MS_MAX = 60_000
/** Even when nothing waits: slots may have been handed out. */
const IDLE_MS = 10_000

export type KeystoreWork = {
  wake(): void
  /** Why the last round failed; undefined if it did not. */
  failure(): string | undefined
  close(): Promise<void>
}

export function startKeystoreWork(state: State, escrows: Escrows, slots: Slots, ready: () => number): KeystoreWork {
  let isClosed = false
  let isWoken = false
  let wake = (): void => {}
  let failure: string | undefined
  const wait = (ms: number): Promise<void> =>
    new Promise(resolve => {
      const timer = setTimeout(resolve, isWoken || isClosed ? 0 : ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  const round = async (): Promise<void> => {
    await escrows.deliver()
    const tenants = (await state.all('tenant')).map(({ name }) => name)
    await slots.fill(tenants, ready, () => isClosed || escrows.waiting().users.length > 0)
  }
  const run = async (): Promise<void> => {
    let pause_ms = PAUSE_MS_MIN
    while (!isClosed) {
      isWoken = false
      try {
        await round()
        if (failure !== undefined) process.stderr.write('authority: the keystore answers again\n')
        failure = undefined
        pause_ms = PAUSE_MS_MIN
      } catch (error) {
        const found = error instanceof Fault ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)
        if (found !== failure && !isClosed) process.stderr.write(`authority: at the keystore: ${found}\n`)
        failure = found
        pause_ms = Math.min(PAUSE_MS_MAX, pause_ms * 2)
      }
      if (failure !== undefined || escrows.waiting().users.length === 0) await wait(failure === undefined ? IDLE_MS : pause_ms)
    }
  }
  const running = run()
  return {
    wake() {
      isWoken = true
      wake()
    },
    failure: () => failure,
    async close() {
      isClosed = true
      wake()
      await running
    },
  }
}
