// Tenants and users. Every change has its audit record before it is made.
import type { Custody } from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import type { Audit } from './audit.ts'
import { hashPassword } from './passwords.ts'
import type { State, User } from './state.ts'

export const DEFAULT_TENANT = 'default'
/** The keystore's own, for rehearsals of a restore. */
const CANARY_TENANT = 'canary'
const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/

export type People = ReturnType<typeof createPeople>

export function createPeople(state: State, audit: Audit, now: () => number) {
  return {
    /** @throws NAME_INVALID */
    async addTenant(name: string): Promise<void> {
      if (!NAME.test(name) || name === CANARY_TENANT) throw fault('NAME_INVALID', { found: name.slice(0, 80) })
      if (await state.get('tenant', name)) return
      await audit.record({ act: 'tenant.add', who: 'admin', facts: { tenant: name } })
      await state.write([{ kind: 'tenant', id: name, row: { name, made_ms: now() } }])
    },
    tenants: () => state.all('tenant'),
    /** Sets the policy; keys of the tenant's users follow with their next backups. @throws TENANT_UNKNOWN */
    async setCustody(name: string, custody: Custody): Promise<void> {
      const tenant = await state.get('tenant', name)
      if (!tenant) throw fault('TENANT_UNKNOWN', { found: name.slice(0, 80) })
      await audit.record({ act: 'tenant.custody', who: 'admin', facts: { tenant: name, custody } })
      await state.write([{ kind: 'tenant', id: name, row: { ...tenant, custody } }])
    },
    /** @throws NAME_INVALID, USER_EXISTS, TENANT_UNKNOWN, PASSWORD_WEAK */
    async addUser(name: string, password: string, tenant: string): Promise<void> {
      if (!NAME.test(name)) throw fault('NAME_INVALID', { found: name.slice(0, 80) })
      if (!(await state.get('tenant', tenant))) throw fault('TENANT_UNKNOWN', { found: tenant.slice(0, 80) })
      if (await state.get('user', name)) throw fault('USER_EXISTS', { found: name })
      const password_hash = await hashPassword(password)
      await audit.record({ act: 'user.add', who: 'admin', facts: { user: name, tenant } })
      const row: User = { name, tenant, password_hash, is_disabled: false, made_ms: now(), wrong_count: 0, wrong_ms: 0 }
      // Asked again: somebody may have been quicker while the password was hashed.
      if (await state.get('user', name)) throw fault('USER_EXISTS', { found: name })
      await state.write([{ kind: 'user', id: name, row }])
    },
    users: async () => (await state.all('user')).map(({ name, tenant, is_disabled, made_ms }) => ({ name, tenant, is_disabled, made_ms })),
    /** Devices of a disabled user get no tickets; links no longer pair. @throws USER_UNKNOWN */
    async disableUser(name: string): Promise<void> {
      const user = await state.get('user', name)
      if (!user) throw fault('USER_UNKNOWN', { found: name.slice(0, 80) })
      await audit.record({ act: 'user.disable', who: 'admin', facts: { user: name } })
      await state.write([{ kind: 'user', id: name, row: { ...user, is_disabled: true } }])
    },
  }
}
