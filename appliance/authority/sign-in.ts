// People who sign in with name and password at each request. Wrong ones are slowed down, and tries wait in turn, so that many
// at once are no faster than one after another.
import { setTimeout as wait } from 'node:timers/promises'
import { fault } from '#protocol/errors.ts'
import type { Audit } from './audit.ts'
import { isPassword } from './passwords.ts'

const WRONG_PAUSE_MS = 500
const WRONG_PAUSE_MS_MAX = 30_000
/** Tries of one name that wait at once; more are turned away. */
const TRIES_AT_ONCE_MAX = 4

export type SignInRow = { readonly name: string; readonly password_hash: string; readonly wrong_count: number; readonly wrong_ms: number }

type Rows<Row extends SignInRow> = {
  get(name: string): Promise<Row | undefined>
  /** Durable. */
  put(row: Row): Promise<void>
}

/** @returns who signs in, or PASSWORD_WRONG, TOO_MANY_TRIES: also for a name that nobody has */
export function createSignIn<Row extends SignInRow>(rows: Rows<Row>, audit: Audit, now: () => number): (name: string, password: string) => Promise<Row> {
  const turns = new Map<string, { count: number; last: Promise<unknown> }>()
  const inTurn = async <Result>(name: string, act: () => Promise<Result>): Promise<Result> => {
    const turn = turns.get(name) ?? { count: 0, last: Promise.resolve() }
    if (turn.count >= TRIES_AT_ONCE_MAX) throw fault('TOO_MANY_TRIES', { next: 'wait, then try again' })
    turns.set(name, turn)
    turn.count++
    const mine = turn.last.then(act)
    turn.last = mine.catch(() => {})
    try {
      return await mine
    } finally {
      if (--turn.count === 0) turns.delete(name)
    }
  }
  return (name, password) =>
    inTurn(name, async () => {
      const row = await rows.get(name)
      if (row && row.wrong_count > 0) {
        const pause_ms = Math.min(WRONG_PAUSE_MS_MAX, WRONG_PAUSE_MS * 2 ** (row.wrong_count - 1))
        await wait(Math.max(0, row.wrong_ms + pause_ms - now()))
      }
      const isRight = await isPassword(password, row?.password_hash)
      if (row && (!isRight || row.wrong_count > 0)) await rows.put({ ...row, wrong_count: isRight ? 0 : row.wrong_count + 1, wrong_ms: now() })
      if (!row || !isRight) {
        await audit.record({ act: 'administrator.refused', who: name, facts: { reason: 'password' } })
        throw fault('PASSWORD_WRONG', { next: 'try again' })
      }
      return row
    })
}
