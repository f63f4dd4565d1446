// Restores for somebody else that another paired device of the tenant carries out. The device asks (it has no open port), gets
// what the keystore opened sealed to a key that it made for this one answer, and puts it together with the sealed key itself:
// the user's key exists there only, never here. Invariants, besides those of asked-restores.ts:
//   the keystore is asked to open only when the target asks for the key: nothing is opened for a device that is not there;
//   W is kept for KEY_MS after that, so that an agent that was killed can go on; the row in the state alone, which survives a
//   restart of this process, lets a device that still has the key have tickets, for PUSH_MS;
//   a device that is put out has no push any more: W is wiped, and what it did has failed;
//   no name of a file comes here.
import { performance } from 'node:perf_hooks'
import { sealAnswer } from '#keystore-seal/answer-box.ts'
import type { Ticket, UserKey } from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import { Fault } from '#protocol/fault.ts'
import { PUSH_MS, PUSH_WAIT_MS } from '#protocol/limits.ts'
import type { Push, PushReport, Waited } from '#protocol/push-api.ts'
import type { AskedRestore, PushRequest, ShownRestore } from '#protocol/restore-api.ts'
import { type AskedRestores, type AskedRestoresParts, isOpen, type RunningRestore } from './asked-restores.ts'
import type { Devices } from './devices.ts'
import { createWaiters } from './push-waiters.ts'
import type { Administrator, DeviceRow, RestoreRow } from './state.ts'

/** For so long after it was opened an agent that was killed can have the key again. */
const KEY_MS = 3_600_000
/** And so often. */
const KEYS_MAX = 10
/** While a device waits, the keystore is asked so often whether its restore was released. */
const LOOK_MS = 2_000
/** A device that waited so lately is there: it is between two requests. */
const THERE_MS = 5_000

type Heard = {
  readonly files: number
  readonly written_bytes: number
  readonly total_bytes: number | null
  readonly interrupted: string | null
  readonly ms: number
}
type OnItsWay = {
  readonly push: NonNullable<RestoreRow['push']>
  readonly isResume: boolean
  /** How often the target had the key. */
  keys: number
  /** As the target has told it, so that a later run goes on with the same. */
  snapshot: Push['snapshot']
}

export type Pushes = ReturnType<typeof createPushes>

export function createPushes({ state, audit, devices, restores, now }: AskedRestoresParts & { devices: Devices; restores: AskedRestores }) {
  const waiters = createWaiters()
  const under = new WeakMap<RunningRestore, OnItsWay>()
  const heard = new Map<string, Heard>()
  /** Opened for a device, and the key can not be had here again: by their ids, the device. */
  const keyGone = new Map<string, string>()
  const leftOver = (async () => {
    for (const row of await state.all('restore')) {
      if (!row.push || row.state !== 'opened') continue
      // This process may have ended between putting the device out and telling this.
      if ((await state.get('device', row.push.to_device))?.is_authorized === true) keyGone.set(row.id, row.push.to_device)
      else await restores.close(row.id, 'failed', 'DEVICE_DEAUTHORIZED')
    }
  })()
  leftOver.catch(() => {})

  const isInTime = (row: RestoreRow): boolean => (row.opened_ms ?? 0) + PUSH_MS > now()
  /** @throws RESTORE_UNKNOWN */
  const rowOf = async (target: DeviceRow, id: string): Promise<RestoreRow & { push: NonNullable<RestoreRow['push']> }> => {
    const row = await state.get('restore', id)
    if (row?.push?.to_device !== target.device) throw fault('RESTORE_UNKNOWN')
    return { ...row, push: row.push }
  }
  const targetOf = async (tenant: string, beginning: string): Promise<DeviceRow> => {
    const found = (await state.all('device')).filter(row => row.tenant === tenant && row.is_authorized && row.device.startsWith(beginning))
    if (found.length !== 1 || !found[0])
      throw fault('DEVICE_UNKNOWN', { expected: `one authorized device of tenant ${tenant} that begins with ${beginning}`, found: `${found.length}` })
    if ((await state.get('user', found[0].user))?.is_disabled !== false) throw fault('USER_DISABLED')
    return found[0]
  }
  const finish = async (id: string, how: 'done' | 'failed' | 'ended', why: string, more: Partial<RestoreRow> = {}): Promise<void> => {
    await restores.close(id, how, why, more)
    const restore = restores.running.get(id)
    if (restore) await restores.forget(restore, why)
    heard.delete(id)
    keyGone.delete(id)
  }
  const finishAll = async (device: string, why: string, isMeant: (id: string) => boolean): Promise<void> => {
    await leftOver
    const ids = [...keyGone].filter(([, target]) => target === device).map(([id]) => id)
    for (const restore of restores.running.values()) if (under.get(restore)?.push.to_device === device) ids.push(restore.id)
    for (const id of ids) if (isMeant(id)) await finish(id, 'failed', why)
  }
  devices.onOut(device => {
    waiters.end(device)
    return finishAll(device, 'DEVICE_DEAUTHORIZED', () => true)
  })

  const describe = (restore: RunningRestore, { push, isResume, keys, snapshot }: OnItsWay): Push => ({
    restore: restore.id,
    user: restore.device.user,
    device: restore.device.device,
    archive: restore.device.archive,
    administrator: restore.administrator,
    reason: restore.wanted.reason,
    asked_ms: restore.asked_ms,
    snapshot,
    paths: restore.wanted.paths,
    folder: push.folder,
    on_conflict: push.on_conflict,
    is_resume: isResume || keys > 0,
  })
  /** What a device is to do now. */
  const releasedFor = async (device: string): Promise<Push | null> => {
    for (const restore of restores.running.values()) {
      const own = under.get(restore)
      if (own?.push.to_device !== device) continue
      // A keystore that is away is asked again in a moment.
      const isReleased = restore.opened !== undefined || (await restores.look(restore).catch(ignoreFault))?.isReleased === true
      if (isReleased) return describe(restore, own)
    }
    return null
  }

  return {
    isPush: (restore: RunningRestore): boolean => under.has(restore),
    isInTime,

    /** @throws as asking for one that is fetched; DEVICE_UNKNOWN, USER_DISABLED also for the target */
    async ask(administrator: Administrator, request: PushRequest): Promise<AskedRestore> {
      const device = await restores.deviceOf(administrator.tenant, request)
      const target = await targetOf(administrator.tenant, request.to_device)
      const { snapshot, folder, on_conflict } = request
      const push = { to_device: target.device, to_user: target.user, snapshot, folder, on_conflict }
      const { restore, answer } = await restores.ask(administrator, request, device, push)
      if (!(await restores.look(restore))) {
        await restores.end(restore, 'ended', 'KEYSTORE_REFUSED')
        throw fault('KEYSTORE_TROUBLE', { found: 'a keystore that does not say what was released', next: 'run `holdfast-keystore provision` again' })
      }
      under.set(restore, { push, isResume: request.is_resume, keys: 0, snapshot })
      waiters.wake(target.device)
      return answer
    },

    /** Answers when there is something to do for the device, and after PUSH_WAIT_MS. A device waits once: the newest counts. */
    async wait(target: DeviceRow, gone: AbortSignal): Promise<Waited> {
      // It waits, so it does nothing else: what it once had the key of it has lost.
      await finishAll(target.device, 'RESTORE_KEY_GONE', id => !restores.running.has(id))
      const waiter = waiters.begin(target.device)
      gone.addEventListener('abort', waiter.end)
      try {
        const end_ms = performance.now() + PUSH_WAIT_MS
        for (;;) {
          const push = await releasedFor(target.device)
          const left_ms = end_ms - performance.now()
          if (push || waiter.hasEnded() || left_ms <= 0) return { push: waiter.hasEnded() ? null : push }
          await waiter.sleep(Math.min(LOOK_MS, left_ms))
        }
      } finally {
        waiter.end()
      }
    },

    /**
     * The owner's key for the target, sealed to a key that it made for this answer.
     *
     * @throws RESTORE_UNKNOWN, RESTORE_KEY_GONE, RESTORE_NOT_APPROVED, KEYSTORE_AWAY, KEYSTORE_TROUBLE, AUDIT_FAILED
     */
    async key(target: DeviceRow, id: string, answerKey: Buffer): Promise<UserKey> {
      const row = await rowOf(target, id)
      const restore = restores.running.get(id)
      const own = restore && under.get(restore)
      if (!restore || !own || own.keys >= KEYS_MAX) throw fault(row.state === 'opened' ? 'RESTORE_KEY_GONE' : 'RESTORE_UNKNOWN')
      const isFirst = restore.opened === undefined
      const opened = await restores.open(restore, { to_device: target.device, to_user: target.user })
      if (isFirst) {
        restores.keep(restore, KEY_MS, async () => {
          keyGone.set(id, target.device)
          await restores.forget(restore, 'an hour is over')
        })
      }
      own.keys++
      await audit.record({
        act: 'push.key',
        who: restore.administrator,
        facts: { restore: id, user: row.user, to_device: target.device, to_user: target.user },
      })
      // Put out, or given up, while that was written.
      if (restores.running.get(id) !== restore) throw fault('RESTORE_UNKNOWN')
      const { tenant, slot, epoch, sealed_key } = restore.escrow
      return { tenant, slot, epoch, sealed_key, opened: sealAnswer(opened, answerKey).toString('base64') }
    },

    /** A ticket for the owner's archive. @throws RESTORE_UNKNOWN unless the target had the key, and it is not over */
    async ticket(target: DeviceRow, thumbprint: string, id: string): Promise<Ticket> {
      const row = await rowOf(target, id)
      const source = await state.get('device', row.device)
      if (row.state !== 'opened' || !isInTime(row) || !source) throw fault('RESTORE_UNKNOWN')
      return { ...(await devices.restoreTicket(id, source, thumbprint)), time_ms: now() }
    },

    /** How far it has come, or how it ended. @throws RESTORE_UNKNOWN it is over: the device is to stop */
    async report(target: DeviceRow, report: PushReport): Promise<void> {
      const { restore: id } = report
      const row = await rowOf(target, id)
      // The answer to the first one may have been lost.
      if (row.state === report.kind) return
      // Where it can not land the key is not asked for.
      if (report.kind === 'failed' && isOpen(row)) return finish(id, 'failed', report.code)
      if (row.state !== 'opened' || !isInTime(row)) throw fault('RESTORE_UNKNOWN')
      if (report.kind === 'done') {
        const { result } = report
        await finish(id, 'done', result.exit === 0 ? 'all of it was restored' : 'not all of it could be restored', { push: { ...row.push, result } })
      } else if (report.kind === 'progress') {
        const { files, written_bytes, total_bytes, snapshot } = report
        const restore = restores.running.get(id)
        const own = restore && under.get(restore)
        if (own) own.snapshot = snapshot
        heard.set(id, { files, written_bytes, total_bytes, interrupted: null, ms: now() })
      } else {
        await audit.record({ act: 'restore.interrupted', who: row.administrator, facts: { restore: id, code: report.code } })
        heard.set(id, { ...(heard.get(id) ?? { files: 0, written_bytes: 0, total_bytes: null }), interrupted: report.code, ms: now() })
      }
    },

    /** The target's next ticket or report is refused, and it stops. */
    cancel: (id: string, why: string): Promise<void> => finish(id, 'ended', why),

    /** What is shown of a push; null of other restores. */
    async shown(row: RestoreRow): Promise<ShownRestore['push']> {
      if (!row.push) return null
      const { to_device, to_user, folder, on_conflict, result } = row.push
      const restore = restores.running.get(row.id)
      const snapshot = (restore && under.get(restore)?.snapshot) ?? row.push.snapshot
      const last = heard.get(row.id)
      return {
        to_device,
        to_user,
        snapshot,
        folder,
        on_conflict,
        is_target_there: waiters.isThere(to_device, THERE_MS),
        key_until_ms: restore?.opened ? restore.until_ms : null,
        seen_ms: last?.ms ?? null,
        files: result?.files ?? last?.files ?? 0,
        written_bytes: result?.written_bytes ?? last?.written_bytes ?? 0,
        total_bytes: last?.total_bytes ?? null,
        interrupted: last?.interrupted ?? null,
        result: result ?? null,
      }
    },

    /** All who wait are answered. */
    close: () => waiters.close(),
  }
}

function ignoreFault(error: unknown): undefined {
  if (!(error instanceof Fault)) throw error
  return undefined
}
