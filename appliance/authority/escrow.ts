// The escrow of user keys: what agents hand over is durable here when it is answered, and goes from here to the keystore,
// once, whenever that can be reached. Invariants:
//   of one user there is one succession of keys: of two devices that make one at once, the second is refused and gets the first's;
//   a key counts as safe only when the keystore has said that it is there;
//   nothing here opens a key: both halves are sealed, and each is useless without the other and the keystore.
import { createHash } from 'node:crypto'
import type { Keystore } from '#keystore-client/keystore.ts'
import { kidOf, ownerOf } from '#keystore-seal/sealed-key-head.ts'
import type { Escrow, EscrowRequest } from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import { SEALED_KEY_BYTES_MAX } from '#protocol/limits.ts'
import type { Audit } from './audit.ts'
import { rotationDue } from './devices.ts'
import type { DeviceRow, EscrowRow, State } from './state.ts'
import { grantFor } from './user-keys.ts'

/** Writes to the keystore that are under way at once. */
const DELIVERIES_AT_ONCE = 16

export type Escrows = {
  of(user: string): Promise<EscrowRow | undefined>
  /** What an agent is told of its user's escrow. */
  shown(user: string): Promise<Escrow>
  /** Durable when it resolves. The same again is fine. @throws REQUEST_INVALID, ESCROW_EXISTS, ESCROW_NONE, AUDIT_FAILED */
  accept(device: DeviceRow, request: EscrowRequest): Promise<EscrowRow>
  /** Brings what waits to the keystore. @throws faults of the keystore that concern all of it */
  deliver(): Promise<void>
  /** All that is held, and the SHA-256 (hex) of what lies in the keystore, for a drill there. */
  list(): Promise<{ tenant: string; slot: string; kid: string; sealed_sha256: string }[]>
  /**
   * After the keystore was restored from a snapshot: counts nothing as safe any more, and delivers all of it again. Whose slot
   * the keystore has lost is due for a new key, which the next backup makes.
   *
   * @param lost  slots that had to be made anew
   */
  redeliver(lost: ReadonlySet<string>): Promise<{ count: number; lost: number }>
  /** Keys that are not yet safe: users, and since when the first of them waits. */
  waiting(): { readonly users: readonly string[]; readonly lost: number; readonly since_ms: number | null }
}

/** @param onAccepted  a key waits to be delivered */
export async function openEscrows(state: State, audit: Audit, keystore: Keystore, now: () => number, onAccepted: () => void): Promise<Escrows> {
  const waiting = new Map<string, number>()
  /** Keys that can't be delivered: their users make new ones with their next backups. */
  const unsafe = new Map<string, number>()
  for (const row of await state.all('escrow')) if (row.safe_ms === null) (row.is_slot_lost === true ? unsafe : waiting).set(row.user, row.accepted_ms)
  let turn: Promise<unknown> = Promise.resolve()
  /** What reads and then writes a row does so alone. */
  const inTurn = <Result>(act: () => Promise<Result>): Promise<Result> => {
    const mine = turn.then(act)
    turn = mine.catch(() => {})
    return mine
  }

  const deliverOne = async (user: string): Promise<void> => {
    const row = await state.get('escrow', user)
    if (row && row.safe_ms === null) {
      await keystore.escrow(row.tenant, row.slot, row.kid, row.sealed_w)
      if (!(await keystore.isEscrowed(row.tenant, row.slot, row.kid)))
        throw fault('KEYSTORE_TROUBLE', { found: `the escrow of ${user} is not there after it was written` })
      await inTurn(async () => {
        const current = await state.get('escrow', user)
        if (current?.kid !== row.kid) return
        await state.write([{ kind: 'escrow', id: user, row: { ...current, safe_ms: now() } }])
        waiting.delete(user)
      })
    } else waiting.delete(user)
  }

  return {
    of: user => state.get('escrow', user),
    async shown(user) {
      const [row, owner] = await Promise.all([state.get('escrow', user), state.get('user', user)])
      const custody = (owner && (await state.get('tenant', owner.tenant))?.custody) ?? 'escrowed'
      const slot = owner?.slot === undefined ? undefined : await state.get('slot', owner.slot)
      return {
        has_keystore: true,
        slot: slot ? { slot: slot.slot, public_key: slot.public_key, signature: slot.signature } : null,
        is_rotation_due:
          row !== undefined && ((owner?.rotate_from_ms ?? 0) >= row.accepted_ms || (custody !== 'self-held' && (row.custody ?? 'escrowed') !== custody)),
        custody,
        held: row ? { slot: row.slot, epoch: row.epoch, kid: row.kid, accepted_ms: row.accepted_ms, safe_ms: row.safe_ms } : null,
      }
    },
    accept: (device, request) =>
      inTurn(async () => {
        const sealed = Buffer.from(request.sealed_key, 'base64')
        if (sealed.length > SEALED_KEY_BYTES_MAX) throw fault('REQUEST_INVALID')
        const owner = ownerOf(sealed)
        const slot = await state.get('slot', request.slot)
        const isTheirs = slot?.user === device.user && owner.slot === request.slot && owner.tenant === device.tenant && owner.epoch === request.epoch
        if (!isTheirs) throw fault('REQUEST_INVALID', { expected: "a key sealed to this user's slot", found: 'another' })
        const kid = kidOf(request.epoch, sealed)
        const held = await state.get('escrow', device.user)
        if (held?.kid === kid) return held
        if (held && request.epoch !== held.epoch + 1) throw fault('ESCROW_EXISTS', { found: `epoch ${held.epoch}` })
        await audit.record({ act: 'escrow.accept', who: device.user, facts: { device: device.device, slot: request.slot, kid } })
        const row: EscrowRow = {
          user: device.user,
          tenant: device.tenant,
          slot: request.slot,
          epoch: request.epoch,
          kid,
          custody: request.custody,
          sealed_key: request.sealed_key,
          sealed_w: request.sealed_w,
          device: device.device,
          accepted_ms: now(),
          safe_ms: null,
        }
        // The user's other devices need the new key, too: their owner has just acted, on this one.
        const others = held ? (await state.all('device')).filter(one => one.user === device.user && one.is_authorized && one.device !== device.device) : []
        await state.write([{ kind: 'escrow', id: device.user, row }, ...others.map(one => grantFor(one.device, one.user, now()))])
        waiting.set(device.user, row.accepted_ms)
        unsafe.delete(device.user)
        onAccepted()
        return row
      }),
    async deliver() {
      const users = [...waiting.keys()]
      let next = 0
      const failures: unknown[] = []
      const run = async (): Promise<void> => {
        while (next < users.length && failures.length === 0) {
          await deliverOne(users[next++] as string).catch((error: unknown) => void failures.push(error))
        }
      }
      await Promise.all(Array.from({ length: Math.min(DELIVERIES_AT_ONCE, users.length) }, run))
      if (failures.length > 0) throw failures[0]
    },
    list: async () =>
      (await state.all('escrow')).map(({ tenant, slot, kid, sealed_w }) => ({
        tenant,
        slot,
        kid,
        sealed_sha256: createHash('sha256').update(sealed_w).digest('hex'),
      })),
    redeliver: lost =>
      inTurn(async () => {
        const rows = await state.all('escrow')
        const gone = rows.filter(({ slot }) => lost.has(slot))
        await audit.record({ act: 'escrow.redeliver', who: 'admin', facts: { count: rows.length, lost: gone.length } })
        const due = await Promise.all(gone.map(({ user }) => rotationDue(state, user, now())))
        await state.write([
          ...rows.map(row => ({ kind: 'escrow', id: row.user, row: { ...row, safe_ms: null, is_slot_lost: lost.has(row.slot) } }) as const),
          ...due.flat(),
        ])
        for (const row of rows) (lost.has(row.slot) ? unsafe : waiting).set(row.user, row.accepted_ms)
        onAccepted()
        return { count: rows.length, lost: gone.length }
      }),
    waiting: () => ({ users: [...waiting.keys()], lost: unsafe.size, since_ms: waiting.size === 0 ? null : Math.min(...waiting.values()) }),
  }
}
