// Restores for somebody else whose files come as an archive file, written by a restore worker and streamed to whoever asked;
// and the door to those that another device restores (pushes.ts). Invariants, besides those of asked-restores.ts:
//   W is kept from when it was released until the file was fetched whole, or for RESTORE_MS;
//   the key itself exists in the worker only (appliance/restore).
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import sodium, { type SecureBuffer } from 'sodium-native'
import { fault } from '#protocol/errors.ts'
import type { AskedRestore, OwnRestores, RestoreRequest, ShownRestore } from '#protocol/restore-api.ts'
import { connectWorker, spawnWorker, startRestoreWorker } from '#worker/start-worker.ts'
import { type AskedRestoresParts, createAskedRestores, isOpen, type RunningRestore } from './asked-restores.ts'
import { type KeyAndCertificate, makeServer, thumbprintOf } from './certificates.ts'
import type { Devices } from './devices.ts'
import { createPushes } from './pushes.ts'
import type { Administrator, RestoreRow } from './state.ts'

/** An interrupted download may go on for so long. */
const RESTORE_MS = 3_600_000

/** Of a restore that is fetched. */
type Download = {
  readonly format: RestoreRequest['format']
  /** Told by the first worker, so that a download goes on with the same snapshot. */
  snapshot: string
  crcs: string
  isFetching: boolean
  /** The worker that writes it now. */
  worker?: { abort(): void }
}

export type FetchedRestore = { readonly output: Readable; readonly bytes: number; readonly name: string; readonly format: 'tar' | 'zip' }
export type Restores = ReturnType<typeof createRestores>

export type RestoresParts = AskedRestoresParts & {
  readonly devices: Devices
  readonly ca: KeyAndCertificate
  /** The storage node, as this process reaches it. */
  readonly storage_url: string
  /** Where workers are started by a service manager (worker.sock); undefined: as children of this process. */
  readonly machine: string | undefined
}

export function createRestores(parts: RestoresParts) {
  const { state, audit, devices, ca, storage_url, machine, now } = parts
  const restores = createAskedRestores(parts)
  const pushes = createPushes({ ...parts, restores })
  const downloads = new WeakMap<RunningRestore, Download>()

  return {
    pushes,

    /** @throws DEVICE_UNKNOWN, ESCROW_NONE, ESCROW_WAITING, CUSTODY_FORBIDS, OVERLOADED, KEYSTORE_AWAY, KEYSTORE_TROUBLE, AUDIT_FAILED */
    async ask(administrator: Administrator, request: RestoreRequest): Promise<AskedRestore> {
      const device = await restores.deviceOf(administrator.tenant, request)
      const { restore, answer } = await restores.ask(administrator, request, device)
      downloads.set(restore, { format: request.format, snapshot: request.snapshot, crcs: '', isFetching: false })
      return answer
    },

    /**
     * The archive file, from a byte on. It ends only if all of it came.
     *
     * @throws RESTORE_UNKNOWN, RESTORE_NOT_APPROVED, RESTORE_BUSY, and what the worker says before its first byte
     */
    async fetch({ name }: Administrator, id: string, from_bytes: number): Promise<FetchedRestore> {
      const restore = restores.running.get(id)
      const download = restore && downloads.get(restore)
      if (!restore || !download || restore.administrator !== name) throw fault('RESTORE_UNKNOWN')
      if (download.isFetching) throw fault('RESTORE_BUSY')
      download.isFetching = true
      try {
        const opened = await restores.open(restore, {})
        restores.keep(restore, RESTORE_MS, () => restores.end(restore, 'ended', 'it was not fetched in time'))
        await audit.record({ act: 'restore.fetch', who: name, facts: { restore: id, from_bytes } })
        return await start(restore, download, opened, from_bytes)
      } catch (error) {
        download.isFetching = false
        throw error
      }
    },

    /** How it stands with a restore of the administrator's tenant. @throws RESTORE_UNKNOWN */
    async show({ tenant }: Administrator, id: string): Promise<ShownRestore> {
      const row = await rowOf(tenant, id)
      const { administrator, reason, user, device, asked_ms, approver } = row
      const push = await pushes.shown(row)
      // What stands for the request, and a fetched key, lived in the process that was asked.
      const isLost = isOpen(row) && !restores.running.has(id) && !(push && row.state === 'opened' && pushes.isInTime(row))
      const why = isLost ? (push && row.state === 'opened' ? 'it was not done in time' : 'the authority was restarted: ask again') : row.why
      const told = { ...(why === undefined ? {} : { why }), ...(approver === undefined ? {} : { approver }) }
      return { restore: id, administrator, reason, user, device, asked_ms, state: isLost ? 'ended' : row.state, ...told, push }
    },

    /** Ends one of the administrator's tenant: what was opened is wiped, and who restores stops. @throws RESTORE_UNKNOWN, AUDIT_FAILED */
    async cancel({ name, tenant }: Administrator, id: string): Promise<void> {
      const row = await rowOf(tenant, id)
      if (!isOpen(row)) throw fault('RESTORE_UNKNOWN', { found: `one that is ${row.state} already` })
      const why = `cancelled by ${name}`
      await audit.record({ act: 'restore.cancel', who: name, facts: { restore: id, user: row.user } })
      const restore = restores.running.get(id)
      if (row.push) return pushes.cancel(id, why)
      if (restore) {
        await restores.end(restore, 'ended', why)
        downloads.get(restore)?.worker?.abort()
      } else await restores.close(id, 'ended', why)
    },

    /** What was restored of a user by others, newest first. */
    async own(user: string): Promise<OwnRestores> {
      const rows = (await state.all('restore')).filter(row => row.user === user).sort((a, b) => b.asked_ms - a.asked_ms)
      return { restores: rows.map(toldToOwner) }
    },

    /** Of those that are pushed, a device that has its key goes on when the authority is there again. */
    async close(): Promise<void> {
      pushes.close()
      for (const restore of restores.running.values()) {
        if (restore.opened && pushes.isPush(restore)) await restores.forget(restore, 'the authority was stopped')
        else await restores.end(restore, 'ended', 'the authority was stopped')
      }
    },
  }

  async function rowOf(tenant: string, id: string): Promise<RestoreRow> {
    const row = await state.get('restore', id)
    if (row?.tenant !== tenant) throw fault('RESTORE_UNKNOWN')
    return row
  }

  async function start(restore: RunningRestore, download: Download, opened: SecureBuffer, from_bytes: number): Promise<FetchedRestore> {
    const { device, escrow, wanted } = restore
    const { format } = download
    const own = await makeServer(ca, `restore ${restore.id}`, ['localhost'], now())
    const thumbprint = thumbprintOf(own.certificate)
    // Cancelled meanwhile: what was opened is wiped.
    if (restores.running.get(restore.id) !== restore) throw fault('RESTORE_UNKNOWN')
    // Copies: the worker's side zeroes what it was given.
    const copy = sodium.sodium_malloc(opened.length)
    copy.set(opened)
    const worker = startRestoreWorker(
      {
        archive: device.archive,
        snapshot: download.snapshot,
        paths: wanted.paths,
        format,
        storage: storage_url,
        ca: ca.certificate,
        certificate: own.certificate,
        escrow: { tenant: escrow.tenant, slot: escrow.slot, epoch: escrow.epoch, sealed_key: escrow.sealed_key },
        ...(from_bytes === 0 ? {} : { resume: { from_bytes, crcs: download.crcs } }),
      },
      { opened: copy, clientKey: Buffer.from(own.key), ticket: () => devices.restoreTicket(restore.id, device, thumbprint) },
      machine === undefined ? spawnWorker() : connectWorker(join(machine, 'worker.sock')),
    )
    download.worker = worker
    void worker.outcome.then(async outcome => {
      sodium.sodium_free(copy)
      download.isFetching = false
      if (outcome.kind === 'done') return restores.end(restore, 'done', 'it was fetched whole')
      download.crcs = outcome.crcs
      await audit.record({ act: 'restore.interrupted', who: restore.administrator, facts: { restore: restore.id, code: outcome.failed.code } })
    })
    const begun = await worker.begun
    download.snapshot = begun.snapshot
    return { output: worker.output, bytes: begun.bytes - from_bytes, name: `${device.user}-${begun.snapshot.slice(0, 12)}.${format}`, format }
  }
}

function toldToOwner({ asked_ms, administrator, device, reason, state, opened_ms, approver, push }: RestoreRow): OwnRestores['restores'][number] {
  return {
    asked_ms,
    administrator,
    device,
    reason,
    state: opened_ms !== undefined || state === 'opened' ? 'opened' : 'asked',
    ...(approver === undefined ? {} : { approver }),
    ...(push ? { to: { device: push.to_device, user: push.to_user } } : {}),
  }
}
