// Devices: who one is, by its certificate; its tickets; its newest snapshot; putting it out. What the storage node has to
// be told is written in the same step as the deauthorization, and stays until the storage node has confirmed it.
import { type KeyObject, randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import { fault } from '#protocol/errors.ts'
import { TICKET_MS } from '#protocol/limits.ts'
import type { Head } from '#protocol/storage-api.ts'
import { TICKET_AUDIENCE, TICKET_ISSUER, TICKET_TYPE, type Verb } from '#protocol/ticket.ts'
import type { Audit } from './audit.ts'
import type { Change, DeviceRow, State, User } from './state.ts'
import type { StorageLink } from './storage-link.ts'

/** What has to be written when somebody lost the right to a user's key: the next backup seals under a new one. */
export async function rotationDue(state: State, name: string, now_ms: number): Promise<Change[]> {
  const user = await state.get('user', name)
  return user ? [{ kind: 'user', id: name, row: { ...user, rotate_from_ms: now_ms } }] : []
}

export type Devices = ReturnType<typeof createDevices>

export function createDevices(state: State, audit: Audit, storage: StorageLink, ticketKey: KeyObject, now: () => number) {
  /** Called with each device that is put out, once that is durable. */
  const listeners: ((device: string) => Promise<void>)[] = []
  /** Whose certificate it is. @throws CERTIFICATE_REQUIRED, DEVICE_DEAUTHORIZED, USER_DISABLED */
  const deviceOf = async (name: string, thumbprint: string): Promise<DeviceRow> => {
    const row = await state.get('device', name)
    if (!row?.thumbprints.includes(thumbprint)) throw fault('CERTIFICATE_REQUIRED', { found: 'a certificate of no device' })
    if (!row.is_authorized) throw fault('DEVICE_DEAUTHORIZED')
    const user = await state.get('user', row.user)
    if (!user || user.is_disabled) throw fault('USER_DISABLED')
    return row
  }
  /** After a device was put out, durably: tells the storage node and whoever listens. Whether the storage node has confirmed it. */
  const afterOut = async (device: string): Promise<boolean> => {
    const isConfirmed = await storage.tellNow(device)
    for (const listener of listeners) await listener(device)
    return isConfirmed
  }
  const deauthorize = async (row: DeviceRow, who: string): Promise<{ isConfirmed: boolean }> => {
    await audit.record({ act: 'device.deauthorize', who, facts: { device: row.device, user: row.user } })
    await state.write([
      { kind: 'device', id: row.device, row: { ...row, is_authorized: false, deauthorized_ms: row.deauthorized_ms ?? now() } },
      { kind: 'tell', id: row.device, row: { device: row.device, thumbprints: row.thumbprints } },
      ...(await rotationDue(state, row.user, now())),
    ])
    return { isConfirmed: await afterOut(row.device) }
  }
  const adopting = new Set<string>()
  const adoptNow = async (archive: string, user: User, hostname: string): Promise<DeviceRow> => {
    const owner = (await state.all('device')).find(row => row.archive === archive)
    if (owner) throw fault('ARCHIVE_OWNED', { found: `device ${owner.device.slice(0, 8)} of ${owner.user}` })
    const device = randomBytes(16).toString('hex')
    await audit.record({ act: 'archive.adopt', who: 'admin', facts: { archive, user: user.name, device } })
    const row: DeviceRow = {
      device,
      user: user.name,
      tenant: user.tenant,
      archive,
      hostname,
      platform: '',
      agent_version: '',
      thumbprints: [],
      paired_ms: now(),
      is_authorized: false,
      deauthorized_ms: now(),
      head: null,
      head_ms: null,
    }
    await state.write([{ kind: 'device', id: device, row }])
    return row
  }
  const signTicket = (bearer: string, { tenant, archive }: DeviceRow, thumbprint: string, verbs: readonly Verb[]): Promise<string> => {
    const now_s = Math.floor(now() / 1000)
    return new SignJWT({ tenant, archive, verbs: [...new Set(verbs)], cnf: { 'x5t#S256': thumbprint } })
      .setProtectedHeader({ alg: 'EdDSA', typ: TICKET_TYPE })
      .setIssuer(TICKET_ISSUER)
      .setAudience(TICKET_AUDIENCE)
      .setSubject(bearer)
      .setIssuedAt(now_s)
      .setExpirationTime(now_s + TICKET_MS / 1000)
      .sign(ticketKey)
  }
  return {
    deviceOf,
    /** A ticket for the device's own archive. @throws ARCHIVE_FORBIDDEN */
    async ticket(row: DeviceRow, thumbprint: string, archive: string, verbs: readonly Verb[]): Promise<string> {
      if (archive !== row.archive) throw fault('ARCHIVE_FORBIDDEN')
      return signTicket(row.device, row, thumbprint, verbs)
    },
    /** A ticket for whoever carries out a restore, who reads the archive of that device and does nothing else. */
    async restoreTicket(restore: string, row: DeviceRow, thumbprint: string): Promise<{ ticket: string; expires_in_ms: number }> {
      return { ticket: await signTicket(restore, row, thumbprint, ['restore']), expires_in_ms: TICKET_MS }
    },
    /** Remembers the newest snapshot; an older one than known is left out. */
    async putHead(row: DeviceRow, head: Head): Promise<void> {
      if (row.head && row.head.sequence >= head.sequence) return
      await state.write([{ kind: 'device', id: row.device, row: { ...row, head, head_ms: now() } }])
    },
    /**
     * Makes an archive from another appliance a user's, as if a device that is out had written it: the user takes it over with
     * the next one.
     *
     * @throws USER_UNKNOWN, ARCHIVE_OWNED, AUDIT_FAILED
     */
    async adopt(archive: string, name: string, hostname: string): Promise<DeviceRow> {
      const user = await state.get('user', name)
      if (!user) throw fault('USER_UNKNOWN', { found: name.slice(0, 80) })
      // Of two at once, one.
      if (adopting.has(archive)) throw fault('ARCHIVE_OWNED', { found: 'somebody else, at this moment' })
      adopting.add(archive)
      try {
        return await adoptNow(archive, user, hostname)
      } finally {
        adopting.delete(archive)
      }
    },
    list: () => state.all('device'),
    /** @throws DEVICE_UNKNOWN for no or several devices of this beginning */
    async find(beginning: string): Promise<DeviceRow> {
      const found = (await state.all('device')).filter(row => row.device.startsWith(beginning))
      if (beginning === '' || found.length !== 1 || !found[0])
        throw fault('DEVICE_UNKNOWN', { expected: 'the beginning of one device id', found: `${found.length} devices` })
      return found[0]
    },
    deauthorize,
    afterOut,
    onOut: (listener: (device: string) => Promise<void>): void => void listeners.push(listener),
  }
}
