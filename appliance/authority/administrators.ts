// Administrators of a tenant: people who may ask for a restore for somebody else of that tenant, and for nothing else.
// Each request carries their password; wrong ones are slowed down as at pairing.
import { setTimeout as wait } from 'node:timers/promises'
import { fault } from '#protocol/errors.ts'
import type { Audit } from './audit.ts'
import { hashPassword, isPassword } from './passwords.ts'
import type { Administrator, State } from './state.ts'

const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/
const WRONG_PAUSE_MS = 500
const WRONG_PAUSE_MS_MAX = 30_000
/** Tries of one administrator that wait at once; more are turned away. */
const TRIES_AT_ONCE_MAX = 4

export type Administrators = ReturnType<typeof createAdministrators>

export function createAdministrators(state: State, audit: Audit, now: () => number) {
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
  return {
    /** Adds one, or gives a new password. @throws NAME_INVALID, TENANT_UNKNOWN, PASSWORD_WEAK */
    async add(name: string, tenant: string, password: string): Promise<void> {
      if (!NAME.test(name)) throw fault('NAME_INVALID', { found: name.slice(0, 80) })
      if (!(await state.get('tenant', tenant))) throw fault('TENANT_UNKNOWN', { found: tenant.slice(0, 80) })
      const password_hash = await hashPassword(password)
      await audit.record({ act: 'administrator.add', who: 'admin', facts: { administrator: name, tenant } })
      await state.write([{ kind: 'administrator', id: name, row: { name, tenant, password_hash, made_ms: now(), wrong_count: 0, wrong_ms: 0 } }])
    },
    async remove(name: string): Promise<void> {
      await audit.record({ act: 'administrator.remove', who: 'admin', facts: { administrator: name.slice(0, 80) } })
      await state.write([{ kind: 'administrator', id: name, row: undefined }])
    },
    /** Who signs in. @throws PASSWORD_WRONG, TOO_MANY_TRIES: also for a name that nobody has */
    check: (name: string, password: string): Promise<Administrator> =>
      inTurn(name, async () => {
        const row = await state.get('administrator', name)
        if (row && row.wrong_count > 0) {
          const pause_ms = Math.min(WRONG_PAUSE_MS_MAX, WRONG_PAUSE_MS * 2 ** (row.wrong_count - 1))
          await wait(Math.max(0, row.wrong_ms + pause_ms - now()))
        }
        const isRight = await isPassword(password, row?.password_hash)
        if (row && (!isRight || row.wrong_count > 0)) {
          const wrong_count = isRight ? 0 : row.wrong_count + 1
          await state.write([{ kind: 'administrator', id: name, row: { ...row, wrong_count, wrong_ms: now() } }])
        }
        if (!row || !isRight) {
          await audit.record({ act: 'administrator.refused', who: name, facts: { reason: 'password' } })
          throw fault('PASSWORD_WRONG', { next: 'try again' })
        }
        return row
      }),
  }
}
