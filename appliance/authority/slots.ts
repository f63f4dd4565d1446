// Slots of the keystore, made ahead of need: a keystore makes six to nine keys a second, and pairing has to work while it
// is sealed or away. Invariants: a slot belongs to one user for good; of two users who need one at once each gets another;
// a slot that was handed out but not written with its user (a crash) is free again at the next start.
import { randomBytes } from 'node:crypto'
import type { Keystore } from '#keystore-client/keystore.ts'
import { fault } from '#protocol/errors.ts'
import type { Change, SlotRow, State, User } from './state.ts'

/** How many slots of each tenant are kept ready unless told otherwise. */
export const SLOTS_READY_DEFAULT = 20
const REMADE_AT_ONCE = 8
/** Somebody who pairs waits so long for a slot that is just being made. */
const SLOT_WAIT_MS = 10_000

export type Slots = {
  /** The slot of a user, and what has to be written with whatever it is used for. @throws KEYSTORE_NO_SLOT */
  take(user: User): Promise<{ slot: SlotRow; changes: readonly Change[] }>
  /** Says that nothing was written: the slot is free again. */
  giveBack(slot: SlotRow): void
  /**
   * Sees that the keystore has every slot, after it was restored: what it lost is made anew, under the same name.
   *
   * @returns the names of those
   */
  remake(): Promise<ReadonlySet<string>>
  /** How many are free, by tenant. */
  free(): Readonly<Record<string, number>>
  /** Makes slots until so many of each tenant are free. */
  fill(tenants: readonly string[], ready: () => number, isStopped: () => boolean): Promise<void>
}

/** Reads the free slots. @param onTaken  more are needed */
export async function openSlots(state: State, keystore: Keystore, now: () => number, onTaken: () => void): Promise<Slots> {
  const free = new Map<string, SlotRow[]>()
  const freeOf = (tenant: string): SlotRow[] => {
    const known = free.get(tenant) ?? []
    free.set(tenant, known)
    return known
  }
  for (const row of await state.all('slot')) if (row.user === null) freeOf(row.tenant).push(row)
  const waiting: { tenant: string; resolve: (slot: SlotRow) => void }[] = []
  const offer = (slot: SlotRow): void => {
    const at = waiting.findIndex(({ tenant }) => tenant === slot.tenant)
    if (at < 0) freeOf(slot.tenant).push(slot)
    else waiting.splice(at, 1)[0]?.resolve(slot)
  }
  /** The next one that is made, if that is soon. */
  const nextOf = (tenant: string): Promise<SlotRow | undefined> =>
    new Promise(resolve => {
      const entry = { tenant, resolve: (slot: SlotRow): void => end(slot) }
      const timer = setTimeout(() => end(undefined), SLOT_WAIT_MS)
      const end = (slot: SlotRow | undefined): void => {
        clearTimeout(timer)
        if (waiting.includes(entry)) waiting.splice(waiting.indexOf(entry), 1)
        resolve(slot)
      }
      waiting.push(entry)
      onTaken()
    })
  return {
    async take(user) {
      if (user.slot !== undefined) {
        const slot = await state.get('slot', user.slot)
        if (slot?.user === user.name) return { slot, changes: [] }
      }
      const slot = freeOf(user.tenant).pop() ?? (await nextOf(user.tenant))
      if (!slot) throw fault('KEYSTORE_NO_SLOT')
      const taken = { ...slot, user: user.name }
      onTaken()
      return { slot: taken, changes: [{ kind: 'slot', id: slot.slot, row: taken }] }
    },
    giveBack(slot) {
      offer({ ...slot, user: null })
    },
    async remake() {
      const lost = new Set<string>()
      const rows = await state.all('slot')
      let next = 0
      const run = async (): Promise<void> => {
        for (let row = rows[next++]; row; row = rows[next++]) {
          const made = await keystore.makeSlot(row.tenant, row.slot)
          if (made.public_key.trim() === row.public_key.trim()) continue
          lost.add(row.slot)
          await state.write([{ kind: 'slot', id: row.slot, row: { ...row, ...made } }])
        }
      }
      await Promise.all(Array.from({ length: REMADE_AT_ONCE }, run))
      free.clear()
      for (const row of await state.all('slot')) if (row.user === null) freeOf(row.tenant).push(row)
      return lost
    },
    free: () => Object.fromEntries([...free].map(([tenant, rows]) => [tenant, rows.length])),
    async fill(tenants, ready, isStopped) {
      for (const tenant of tenants) {
        while (freeOf(tenant).length < ready() && !isStopped()) {
          const slot = `s-${randomBytes(16).toString('hex')}`
          const made = await keystore.makeSlot(tenant, slot)
          const row: SlotRow = { slot, tenant, ...made, made_ms: now(), user: null }
          await state.write([{ kind: 'slot', id: slot, row }])
          offer(row)
        }
      }
    },
  }
}
