// Restores for somebody else. An administrator of the tenant asks, with a reason; another person, with a sign-in of their own
// at the keystore, agrees; then the administrator fetches an archive file, which a restore worker writes. Invariants:
//   each step has its audit record before it is done; the owner of the archive is told (GET /v1/restores/own);
//   this process has half of the key at most (W), in secure memory, from when it was released until the file was fetched
//   whole, or for RESTORE_MS; the key itself exists in the worker only (appliance/restore);
//   after a restart of the authority a restore is asked for anew.
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import sodium, { type SecureBuffer } from 'sodium-native'
import type { AskedRestore as Asked, Keystore } from '#keystore-client/keystore.ts'
import { fault } from '#protocol/errors.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import type { AskedRestore, OwnRestores, RestoreRequest } from '#protocol/restore-api.ts'
import { startRestoreWorker } from '#worker/start-worker.ts'
import type { Audit } from './audit.ts'
import { type KeyAndCertificate, makeServer, thumbprintOf } from './certificates.ts'
import { type Devices, rotationDue } from './devices.ts'
import type { Administrator, DeviceRow, EscrowRow, State } from './state.ts'
import { awayOrTrouble } from './user-keys.ts'

/** As long as the keystore keeps a request (keystore/provision/policies.ts). */
const APPROVAL_MS = 600_000
/** An interrupted download may go on for so long. */
const RESTORE_MS = 3_600_000
/** Restores that are asked for or under way at once. */
const RESTORES_MAX = 16

type Running = {
  readonly id: string
  readonly administrator: string
  readonly request: RestoreRequest
  readonly device: DeviceRow
  readonly escrow: EscrowRow
  readonly asked: Asked
  readonly jti: string
  /** From the first fetch on. */
  opened: SecureBuffer | undefined
  /** Told by the first worker, so that a download goes on with the same snapshot. */
  snapshot: string
  crcs: string
  isFetching: boolean
  timer: NodeJS.Timeout
}

export type FetchedRestore = { readonly output: Readable; readonly bytes: number; readonly name: string; readonly format: 'tar' | 'zip' }
export type Restores = ReturnType<typeof createRestores>

export type RestoresParts = {
  readonly state: State
  readonly audit: Audit
  readonly keystore: Keystore
  readonly devices: Devices
  readonly ca: KeyAndCertificate
  /** The storage node, as this process reaches it. */
  readonly storage_url: string
  readonly now: () => number
}

export function createRestores({ state, audit, keystore, devices, ca, storage_url, now }: RestoresParts) {
  const running = new Map<string, Running>()

  const end = async (restore: Running, why: string): Promise<void> => {
    if (!running.delete(restore.id)) return
    clearTimeout(restore.timer)
    if (restore.opened) wipe(restore.opened)
    else await restore.asked.giveUp()
    await audit.record({ act: 'restore.end', who: restore.administrator, facts: { restore: restore.id, why } })
  }
  const endLater = (restore: Running, ms: number): void => {
    clearTimeout(restore.timer)
    restore.timer = setTimeout(() => void end(restore, 'too old').catch(() => {}), ms)
    restore.timer.unref()
  }
  /** The device whose archive is meant. */
  const deviceOf = async (tenant: string, { user, device = '' }: RestoreRequest): Promise<DeviceRow> => {
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
  const open = async (restore: Running): Promise<SecureBuffer> => {
    await audit.record({ act: 'restore.open', who: restore.administrator, facts: { restore: restore.id, jti: restore.jti } })
    try {
      const { opened, request_ids } = await restore.asked.fetch()
      restore.opened = opened
      await audit.record({ act: 'key.opened', who: 'keystore', facts: { jti: restore.jti, requests: request_ids.join(' ') } })
      const row = await state.get('restore', restore.id)
      if (row)
        await state.write([{ kind: 'restore', id: restore.id, row: { ...row, state: 'opened' } }, ...(await rotationDue(state, restore.device.user, now()))])
      return opened
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      await audit.record({ act: 'key.open.failed', who: 'keystore', facts: { jti: restore.jti, code: error.code } })
      if (isFault(error, 'APPROVAL_MISSING')) throw fault('RESTORE_NOT_APPROVED')
      throw isFault(error, 'AUDIT_FAILED') ? error : awayOrTrouble(error)
    }
  }

  return {
    /** @throws DEVICE_UNKNOWN, ESCROW_NONE, ESCROW_WAITING, OVERLOADED, KEYSTORE_AWAY, KEYSTORE_TROUBLE, AUDIT_FAILED */
    async ask({ name, tenant }: Administrator, request: RestoreRequest): Promise<AskedRestore> {
      if (running.size >= RESTORES_MAX) throw fault('OVERLOADED', { found: `${running.size} restores at once` })
      const device = await deviceOf(tenant, request)
      const escrow = await state.get('escrow', device.user)
      if (!escrow) throw fault('ESCROW_NONE')
      if (escrow.safe_ms === null) throw fault('ESCROW_WAITING')
      if (escrow.custody === 'passphrase') throw fault('CUSTODY_FORBIDS')
      const [id, jti] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')]
      const facts = {
        restore: id,
        jti,
        user: device.user,
        device: device.device,
        tenant: escrow.tenant,
        slot: escrow.slot,
        kid: escrow.kid,
        snapshot: request.snapshot,
      }
      await audit.record({ act: 'restore.ask', who: name, facts: { ...facts, paths: request.paths.length, reason: request.reason } })
      const row = {
        id,
        tenant,
        user: device.user,
        device: device.device,
        administrator: name,
        reason: request.reason,
        asked_ms: now(),
        state: 'asked',
      } as const
      await state.write([{ kind: 'restore', id, row }])
      const asked = await keystore.askRestore(escrow.tenant, escrow.slot, escrow.kid, { jti, asker: name }).catch((error: unknown) => {
        throw error instanceof Fault ? awayOrTrouble(error) : error
      })
      const { snapshot } = request
      const restore: Running = {
        id,
        administrator: name,
        request,
        device,
        escrow,
        asked,
        jti,
        opened: undefined,
        snapshot,
        crcs: '',
        isFetching: false,
        timer: setTimeout(() => {}, 0),
      }
      running.set(id, restore)
      endLater(restore, APPROVAL_MS)
      return { restore: id, request: asked.accessor, until_ms: now() + APPROVAL_MS }
    },

    /**
     * The archive file, from a byte on. It ends only if all of it came.
     *
     * @throws RESTORE_UNKNOWN, RESTORE_NOT_APPROVED, RESTORE_BUSY, and what the worker says before its first byte
     */
    async fetch({ name }: Administrator, id: string, from_bytes: number): Promise<FetchedRestore> {
      const restore = running.get(id)
      if (!restore || restore.administrator !== name) throw fault('RESTORE_UNKNOWN')
      if (restore.isFetching) throw fault('RESTORE_BUSY')
      restore.isFetching = true
      try {
        const opened = restore.opened ?? (await open(restore))
        endLater(restore, RESTORE_MS)
        await audit.record({ act: 'restore.fetch', who: name, facts: { restore: id, from_bytes } })
        return await start(restore, opened, from_bytes)
      } catch (error) {
        restore.isFetching = false
        throw error
      }
    },

    /** What was restored of a user by others, newest first. */
    async own(user: string): Promise<OwnRestores> {
      const rows = (await state.all('restore')).filter(row => row.user === user).sort((a, b) => b.asked_ms - a.asked_ms)
      return { restores: rows.map(({ asked_ms, administrator, device, reason, state }) => ({ asked_ms, administrator, device, reason, state })) }
    },

    async close(): Promise<void> {
      for (const restore of running.values()) await end(restore, 'the authority was stopped')
    },
  }

  async function start(restore: Running, opened: SecureBuffer, from_bytes: number): Promise<FetchedRestore> {
    const { device, escrow, request } = restore
    const own = await makeServer(ca, `restore ${restore.id}`, ['localhost'], now())
    const thumbprint = thumbprintOf(own.certificate)
    // Copies: the worker's side zeroes what it was given.
    const copy = sodium.sodium_malloc(opened.length)
    copy.set(opened)
    const worker = startRestoreWorker(
      {
        archive: device.archive,
        snapshot: restore.snapshot,
        paths: request.paths,
        format: request.format,
        storage: storage_url,
        ca: ca.certificate,
        certificate: own.certificate,
        escrow: { tenant: escrow.tenant, slot: escrow.slot, epoch: escrow.epoch, sealed_key: escrow.sealed_key },
        ...(from_bytes === 0 ? {} : { resume: { from_bytes, crcs: restore.crcs } }),
      },
      { opened: copy, clientKey: Buffer.from(own.key), ticket: () => devices.restoreTicket(restore.id, device, thumbprint) },
    )
    void worker.outcome.then(async outcome => {
      sodium.sodium_free(copy)
      restore.isFetching = false
      if (outcome.kind === 'done') return end(restore, 'done')
      restore.crcs = outcome.crcs
      await audit.record({ act: 'restore.interrupted', who: restore.administrator, facts: { restore: restore.id, code: outcome.failed.code } })
    })
    const begun = await worker.begun
    restore.snapshot = begun.snapshot
    return {
      output: worker.output,
      bytes: begun.bytes - from_bytes,
      name: `${device.user}-${begun.snapshot.slice(0, 12)}.${request.format}`,
      format: request.format,
    }
  }
}

function wipe(secret: SecureBuffer): void {
  sodium.sodium_memzero(secret)
  sodium.sodium_free(secret)
}
