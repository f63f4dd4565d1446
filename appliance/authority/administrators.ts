// Administrators of a tenant: people who may ask for a restore for somebody else of that tenant, and for nothing else. And
// those of the site, who do over the network what the owner of the appliance's home does with its commands; they may not
// ask for restores, so that it takes two people to come at somebody's files even without the approver.
import { fault } from '#protocol/errors.ts'
import type { Audit } from './audit.ts'
import { hashPassword } from './passwords.ts'
import { createSignIn } from './sign-in.ts'
import type { State } from './state.ts'

const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/

export type Administrators = ReturnType<typeof createAdministrators>
/** One of the list; of the site without a tenant. */
export type ListedAdministrator = { readonly name: string; readonly tenant: string | null; readonly made_ms: number }

export function createAdministrators(state: State, audit: Audit, now: () => number) {
  const newRow = async (name: string, password: string) => {
    if (!NAME.test(name)) throw fault('NAME_INVALID', { found: name.slice(0, 80) })
    return { name, password_hash: await hashPassword(password), made_ms: now(), wrong_count: 0, wrong_ms: 0 }
  }
  return {
    /** Adds one, or gives a new password. @throws NAME_INVALID, TENANT_UNKNOWN, PASSWORD_WEAK */
    async add(name: string, tenant: string, password: string): Promise<void> {
      const row = await newRow(name, password)
      if (!(await state.get('tenant', tenant))) throw fault('TENANT_UNKNOWN', { found: tenant.slice(0, 80) })
      await audit.record({ act: 'administrator.add', who: 'admin', facts: { administrator: name, tenant } })
      await state.write([{ kind: 'administrator', id: name, row: { ...row, tenant } }])
    },

    /** Adds one of the site, or gives a new password. @throws NAME_INVALID, PASSWORD_WEAK */
    async addToSite(name: string, password: string): Promise<void> {
      const row = await newRow(name, password)
      await audit.record({ act: 'administrator.add', who: 'admin', facts: { administrator: name, tenant: null } })
      await state.write([{ kind: 'site_administrator', id: name, row }])
    },

    async list(): Promise<ListedAdministrator[]> {
      const [ofTenants, ofSite] = await Promise.all([state.all('administrator'), state.all('site_administrator')])
      const listed = [...ofSite.map(row => ({ ...row, tenant: null })), ...ofTenants]
      return listed.map(({ name, tenant, made_ms }) => ({ name, tenant, made_ms }))
    },

    /** Takes one out, of the site and of a tenant. */
    async remove(name: string): Promise<void> {
      await audit.record({ act: 'administrator.remove', who: 'admin', facts: { administrator: name.slice(0, 80) } })
      await state.write([
        { kind: 'administrator', id: name, row: undefined },
        { kind: 'site_administrator', id: name, row: undefined },
      ])
    },

    /** Who of a tenant signs in. @throws PASSWORD_WRONG, TOO_MANY_TRIES: also for a name that nobody has */
    check: createSignIn({ get: name => state.get('administrator', name), put: row => state.write([{ kind: 'administrator', id: row.name, row }]) }, audit, now),
    /** Who of the site signs in. @throws as check */
    checkOfSite: createSignIn(
      { get: name => state.get('site_administrator', name), put: row => state.write([{ kind: 'site_administrator', id: row.name, row }]) },
      audit,
      now,
    ),
  }
}
