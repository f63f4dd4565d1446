// Restores for somebody else, as far as it makes no difference where the files go: an administrator of the tenant asks, with a
// reason; another person, with a sign-in of their own at the keystore, agrees; then the key can be opened. Invariants:
//   each step has its audit record before it is done, and the record of opening names who released it;
//   before anybody is given what was opened, the owner is to be told of it, durably (GET /v1/restores/own);
//   this process has half of the key at most (W), in secure memory, and for so long as `keep` says;
//   what stands for a request lives in this process only: after a restart a restore is asked for anew.
import { randomBytes } from 'node:crypto'
import sodium, { type SecureBuffer } from 'sodium-native'
import type { AskedRestore as Asked, Keystore } from '#keystore-client/keystore.ts'
import { fault } from '#protocol/errors.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import type { AskedRestore, RestoreState, WantedRestore } from '#protocol/restore-api.ts'
import type { Static } from '#protocol/typebox.js'
import type { Audit } from './audit.ts'
import { rotationDue } from './devices.ts'
import type { Administrator, DeviceRow, EscrowRow, RestoreRow, State } from './state.ts'
import { awayOrTrouble } from './user-keys.ts'

/** As long as the keystore keeps a request (keystore/provision/policies.ts). */
export const APPROVAL_MS = 600_000
/** Restores that are asked for, or whose key is kept, at once. */
const RESTORES_MAX = 16

export type RunningRestore = {
  readonly id: string
  readonly administrator: string
  readonly wanted: WantedRestore
  /** Whose archive it is. */
  readonly device: DeviceRow
  readonly escrow: EscrowRow
  readonly asked: Asked
  readonly jti: string
  readonly asked_ms: number
  opening: Promise<SecureBuffer> | undefined
  opened: SecureBuffer | undefined
  until_ms: number
  timer: NodeJS.Timeout
}

export type AskedRestoresParts = { readonly state: State; readonly audit: Audit; readonly keystore: Keystore; readonly now: () => number }
export type AskedRestores = ReturnType<typeof createAskedRestores>

export function createAskedRestores({ state, audit, keystore, now }: AskedRestoresParts) {
  const running = new Map<string, RunningRestore>()

  /** Forgets the key, or the request. What the row says stays. */
  const forget = async (restore: RunningRestore, why: string): Promise<boolean> => {
    if (!running.delete(restore.id)) return false
    clearTimeout(restore.timer)
    if (restore.opened) wipe(restore.opened)
    else await restore.asked.giveUp()
    await audit.record({ act: 'restore.forget', who: restore.administrator, facts: { restore: restore.id, why } })
    return true
  }
  /** How it ended, on record. Once: what has ended stays as it is. */
  const close = async (id: string, how: Static<typeof RestoreState>, why: string, more: Partial<RestoreRow> = {}): Promise<void> => {
    const row = await state.get('restore', id)
    if (!row || !isOpen(row)) return
    await audit.record({ act: 'restore.end', who: row.administrator, facts: { restore: id, state: how, why } })
    await state.write([{ kind: 'restore', id, row: { ...row, ...more, state: how, why } }])
  }
  const end = async (restore: RunningRestore, how: Static<typeof RestoreState>, why: string): Promise<void> => {
    if (await forget(restore, why)) await close(restore.id, how, why)
  }
  /** What was opened, or asked for, is kept for so long; then `over` is called. */
  const keep = (restore: RunningRestore, ms: number, over: () => Promise<unknown>): void => {
    clearTimeout(restore.timer)
    restore.until_ms = now() + ms
    restore.timer = setTimeout(() => void over().catch(() => {}), ms)
    restore.timer.unref()
  }
  /** The device whose archive is meant. */
  const deviceOf = async (tenant: string, { user, device = '' }: WantedRestore): Promise<DeviceRow> => {
    const found = (await state.all('device')).filter(row => row.user === user && row.tenant === tenant && row.device.startsWith(device))
    // Several devices may have written one archive, one after another.
    if (new Set(found.map(row => row.archive)).size !== 1 || !found[0])
      throw fault('DEVICE_UNKNOWN', {
        expected: `one archive of ${user} in tenant ${tenant}`,
        found: `${found.length} devices`,
        next: 'name the device by the beginning of its id',
      })
    return found.find(row => row.is_authorized) ?? found[0]
  }
  const openNow = async (restore: RunningRestore, facts: Readonly<Record<string, string>>): Promise<SecureBuffer> => {
    const { id, administrator: who, asked, jti, device } = restore
    const seen = await look(restore)
    if (seen && !seen.isReleased) {
      await audit.record({ act: 'restore.refused', who, facts: { restore: id, code: 'RESTORE_NOT_APPROVED' } })
      throw fault('RESTORE_NOT_APPROVED')
    }
    const approver = seen && seen.approvers.length > 0 ? seen.approvers.join(' ').slice(0, 200) : undefined
    await audit.record({ act: 'restore.open', who, facts: { restore: id, jti, user: device.user, approver: approver ?? null, ...facts } })
    try {
      const { opened, request_ids } = await asked.fetch()
      restore.opened = opened
      // It may have been given up meanwhile.
      if (running.get(id) !== restore) throw fault('RESTORE_UNKNOWN')
      await audit.record({ act: 'key.opened', who: 'keystore', facts: { jti, requests: request_ids.join(' ') } })
      const row = await state.get('restore', id)
      if (row) {
        const told = { ...row, state: 'opened' as const, opened_ms: now(), ...(approver === undefined ? {} : { approver }) }
        await state.write([{ kind: 'restore', id, row: told }, ...(await rotationDue(state, device.user, now()))])
      }
      return opened
    } catch (error) {
      if (restore.opened) wipe(restore.opened)
      restore.opened = undefined
      if (!(error instanceof Fault)) throw error
      await audit.record({ act: 'key.open.failed', who: 'keystore', facts: { jti, code: error.code } })
      if (isFault(error, 'APPROVAL_MISSING')) throw fault('RESTORE_NOT_APPROVED')
      throw isFault(error, 'AUDIT_FAILED', 'RESTORE_UNKNOWN') ? error : awayOrTrouble(error)
    }
  }
  /** @throws RESTORE_NOT_APPROVED it is too old; KEYSTORE_AWAY, KEYSTORE_TROUBLE */
  const look = ({ asked }: RunningRestore): ReturnType<Asked['look']> =>
    asked.look().catch((error: unknown) => {
      if (isFault(error, 'APPROVAL_MISSING')) throw fault('RESTORE_NOT_APPROVED')
      throw error instanceof Fault ? awayOrTrouble(error) : error
    })

  return {
    running,
    deviceOf,
    forget,
    close,
    end,
    keep,
    look,

    /**
     * Asks at the keystore; nothing is opened.
     *
     * @param push  where the files go, if to another device; nothing of it is secret
     * @throws ESCROW_NONE, ESCROW_WAITING, CUSTODY_FORBIDS, OVERLOADED, KEYSTORE_AWAY, KEYSTORE_TROUBLE, AUDIT_FAILED
     */
    async ask({ name, tenant }: Administrator, wanted: WantedRestore, device: DeviceRow, push?: NonNullable<RestoreRow['push']>) {
      if (running.size >= RESTORES_MAX) throw fault('OVERLOADED', { found: `${running.size} restores at once` })
      const escrow = await state.get('escrow', device.user)
      if (!escrow) throw fault('ESCROW_NONE')
      if (escrow.safe_ms === null) throw fault('ESCROW_WAITING')
      if (escrow.custody === 'passphrase') throw fault('CUSTODY_FORBIDS')
      const [id, jti] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')]
      const { reason, snapshot } = wanted
      const of = { user: device.user, device: device.device, tenant: escrow.tenant, slot: escrow.slot, kid: escrow.kid, snapshot }
      const to = push ? { to_device: push.to_device, to_user: push.to_user, folder: push.folder, on_conflict: push.on_conflict } : {}
      await audit.record({ act: 'restore.ask', who: name, facts: { restore: id, jti, ...of, ...to, paths: wanted.paths.length, reason } })
      const asked_ms = now()
      const row = { id, tenant, user: device.user, device: device.device, administrator: name, reason, asked_ms, state: 'asked' } as const
      await state.write([{ kind: 'restore', id, row: { ...row, ...(push ? { push } : {}) } }])
      const asked = await keystore.askRestore(escrow.tenant, escrow.slot, escrow.kid, { jti, asker: name }).catch((error: unknown) => {
        throw error instanceof Fault ? awayOrTrouble(error) : error
      })
      const timer = setTimeout(() => {}, 0)
      const restore: RunningRestore = {
        id,
        administrator: name,
        wanted,
        device,
        escrow,
        asked,
        jti,
        asked_ms,
        opening: undefined,
        opened: undefined,
        until_ms: 0,
        timer,
      }
      running.set(id, restore)
      keep(restore, APPROVAL_MS, () => end(restore, 'ended', 'nobody released and fetched it in time'))
      const answer: AskedRestore = { restore: id, request: asked.accessor, until_ms: restore.until_ms }
      return { restore, answer }
    },

    /**
     * What the keystore opened, once it was released; the same for all who ask meanwhile.
     *
     * @param facts  for the audit record
     * @throws RESTORE_NOT_APPROVED, KEYSTORE_AWAY, KEYSTORE_TROUBLE, AUDIT_FAILED
     */
    async open(restore: RunningRestore, facts: Readonly<Record<string, string>>): Promise<SecureBuffer> {
      if (restore.opened) return restore.opened
      restore.opening ??= openNow(restore, facts).finally(() => {
        restore.opening = undefined
      })
      return restore.opening
    },
  }
}

/** Whether anything can still come of it. */
export const isOpen = ({ state }: RestoreRow): boolean => state === 'asked' || state === 'opened'

function wipe(secret: SecureBuffer): void {
  sodium.sodium_memzero(secret)
  sodium.sodium_free(secret)
}
