// All of the authority that has to do with the keystore, put together. Commands that run while the appliance does not
// open the same, and leave the keystore itself alone.
import { join } from 'node:path'
import { readConnection } from '#keystore-client/connection.ts'
import { createKeystore, type Keystore } from '#keystore-client/keystore.ts'
import { type Alarms, openAlarms } from './alarms.ts'
import type { Audit } from './audit.ts'
import { fault } from './errors.ts'
import { type Escrows, openEscrows } from './escrow.ts'
import { createKeyLimit } from './key-limit.ts'
import { startKeystoreWork } from './keystore-work.ts'
import { openSlots, SLOTS_READY_DEFAULT, type Slots } from './slots.ts'
import type { State } from './state.ts'
import { createUserKeys, type UserKeys } from './user-keys.ts'

export type AuthorityEscrow = {
  readonly keystore: Keystore
  readonly escrows: Escrows
  readonly slots: Slots
  readonly keys: UserKeys
  readonly alarms: Alarms
  /** Slots of each tenant that are kept ready. */
  ready(): number
  /** From now on, and after a restart. What is ready beyond it stays. @throws AUDIT_FAILED */
  setReady(count: number): Promise<void>
  /** Why the authority could not do its work at the keystore the last time; undefined if it could. */
  failure(): string | undefined
  /** @throws TENANT_NOT_PROVISIONED */
  identityOf(tenant: string): string
  close(): Promise<void>
}

/** One number for all tenants. */
const READY_ID = 'all'

export const connectionFileOf = (home: string): string => join(home, 'authority', 'keystore.json')

/**
 * @param readyAtFirst  slots of each tenant that are kept ready, until somebody says otherwise
 * @param isRunning  false: nothing is done at the keystore
 * @throws KEYSTORE_CONNECTION_INVALID, STATE_DAMAGED
 */
export async function openAuthorityEscrow(
  home: string,
  state: State,
  audit: Audit,
  now: () => number,
  isRunning: boolean,
  readyAtFirst: number = SLOTS_READY_DEFAULT,
): Promise<AuthorityEscrow> {
  const connection = readConnection(connectionFileOf(home))
  const keystore = createKeystore(connection, { now })
  let wake = (): void => {}
  const escrows = await openEscrows(state, audit, keystore, now, () => wake())
  const slots = await openSlots(state, keystore, now, () => wake())
  const alarms = await openAlarms(state, audit, now)
  let ready = (await state.get('slots_ready', READY_ID))?.count ?? readyAtFirst
  const work = isRunning ? startKeystoreWork(state, escrows, slots, () => ready) : undefined
  if (work) wake = work.wake
  return {
    keystore,
    escrows,
    slots,
    keys: createUserKeys({ state, audit, keystore, alarms, limit: createKeyLimit(alarms, now), now }),
    alarms,
    ready: () => ready,
    async setReady(count) {
      await audit.record({ act: 'slots.ready', who: 'admin', facts: { count } })
      await state.write([{ kind: 'slots_ready', id: READY_ID, row: { count } }])
      ready = count
      wake()
    },
    failure: () => work?.failure(),
    identityOf(tenant) {
      const known = connection.tenants[tenant]
      if (!known) throw fault('TENANT_NOT_PROVISIONED', { found: tenant.slice(0, 80) })
      return known.identity
    },
    async close() {
      await work?.close()
      keystore.close()
    },
  }
}

/** For `status`. */
export async function keystoreState(escrow: AuthorityEscrow | undefined): Promise<Record<string, unknown> | null> {
  if (!escrow) return null
  const { users, lost, since_ms } = escrow.escrows.waiting()
  return {
    nodes: await escrow.keystore.state(),
    waiting: users.length,
    lost,
    waiting_since_ms: since_ms,
    slots_ready: escrow.ready(),
    slots_free: escrow.slots.free(),
    failure: escrow.failure() ?? null,
    alarms: escrow.alarms.standing(),
  }
}
