// What the owner of the appliance's home may ask, over a Unix socket that only the owner can open: the commands of
// holdfast-appliance are made of these. The same routes are asked in-process when the appliance does not run.
import fastify, { type FastifyInstance, type RawServerBase } from 'fastify'
import Type, { type Static } from 'typebox'
import { Custody } from '#protocol/authority-api.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { ArchiveId } from '#protocol/names.ts'
import { formatPairingLink } from '#protocol/pairing-link.ts'
import { answerPlainly } from './answering.ts'
import { checkAudit } from './audit.ts'
import type { Devices } from './devices.ts'
import { readHealth } from './health.ts'
import { type AuthorityEscrow, keystoreState } from './keystore-parts.ts'
import { addMachineRoutes } from './machine.ts'
import type { Pairing } from './pairing.ts'
import type { People } from './people.ts'
import { addRestoreRoutes, type RestoreParts } from './restore-api.ts'
import { SlotsReady } from './state.ts'

export const ADMIN_PATHS = {
  tenants: '/tenants',
  custody: '/tenants/custody',
  users: '/users',
  disable: '/users/disable',
  links: '/links',
  devices: '/devices',
  deauthorize: '/devices/deauthorize',
  adopt: '/archives/adopt',
  administrators: '/administrators',
  removeAdministrator: '/administrators/remove',
  escrows: '/escrows',
  redeliver: '/escrows/redeliver',
  acknowledge: '/alarms/acknowledge',
  slots: '/slots',
  status: '/status',
  audit: '/audit',
} as const

const Text = Type.String({ minLength: 1, maxLength: 1024 })
export const AdoptArchive = Type.Object({
  archive: ArchiveId,
  user: Text,
  hostname: Type.String({ minLength: 1, maxLength: 253, pattern: '^[\\x20-\\x7e]*$' }),
})
export const AddTenant = Type.Object({ tenant: Text })
export const SetCustody = Type.Object({ tenant: Text, custody: Custody })
export const AddUser = Type.Object({ user: Text, password: Text, tenant: Text })
/** tenant: null for one of the site. */
export const AddAdministrator = Type.Object({ administrator: Text, password: Text, tenant: Type.Union([Text, Type.Null()]) })
export const NamedAdministrator = Type.Object({ administrator: Text })
export const NamedUser = Type.Object({ user: Text })
export const NamedDevice = Type.Object({ device: Text })

export type AdminParts = RestoreParts & {
  readonly home: string
  readonly version: string
  readonly people: People
  readonly pairing: Pairing
  readonly devices: Devices
  readonly link: { host: string; port: number; ca_sha256: string }
  readonly certificates: Readonly<Record<string, string>>
  readonly auditFile: string
  readonly isRunning: boolean
  /** Undefined at a site without a keystore. */
  readonly escrow: AuthorityEscrow | undefined
  readonly now: () => number
}

/** What the admin socket answers; nothing listens yet. */
export function createAdminApi(parts: AdminParts): FastifyInstance {
  const app = fastify({ bodyLimit: JSON_BYTES_MAX, return503OnClosing: false })
  answerPlainly(app)
  addAdminRoutes(app, parts)
  // What firmware does is asked for from elsewhere, by somebody who is named in the audit log for it.
  addMachineRoutes(app, undefined)
  addRestoreRoutes(app, parts)
  return app
}

/** Adds the paths of administration, but for restores. Whoever reaches them may do it all. */
export function addAdminRoutes<Server extends RawServerBase>(app: FastifyInstance<Server>, parts: AdminParts): void {
  const { people, pairing, devices, now } = parts
  app.get(ADMIN_PATHS.tenants, async () => ({ tenants: await people.tenants() }))
  app.post(ADMIN_PATHS.tenants, { schema: { body: AddTenant } }, async request => {
    await people.addTenant((request.body as Static<typeof AddTenant>).tenant)
    return {}
  })
  app.post(ADMIN_PATHS.custody, { schema: { body: SetCustody } }, async request => {
    const { tenant, custody } = request.body as Static<typeof SetCustody>
    await people.setCustody(tenant, custody)
    return {}
  })
  app.get(ADMIN_PATHS.users, async () => ({ users: await people.users() }))
  app.post(ADMIN_PATHS.users, { schema: { body: AddUser } }, async request => {
    const { user, password, tenant } = request.body as Static<typeof AddUser>
    await people.addUser(user, password, tenant)
    return {}
  })
  app.post(ADMIN_PATHS.disable, { schema: { body: NamedUser } }, async request => {
    await people.disableUser((request.body as Static<typeof NamedUser>).user)
    return {}
  })
  app.post(ADMIN_PATHS.links, { schema: { body: NamedUser } }, async request => {
    const { expires_ms, ...secret } = await pairing.makeLink((request.body as Static<typeof NamedUser>).user)
    return { link: formatPairingLink({ ...parts.link, ...secret }), expires_ms }
  })
  app.get(ADMIN_PATHS.devices, async () => ({ devices: await devices.list() }))
  app.post(ADMIN_PATHS.deauthorize, { schema: { body: NamedDevice } }, async request => {
    const row = await devices.find((request.body as Static<typeof NamedDevice>).device)
    const { isConfirmed } = await devices.deauthorize(row, 'admin')
    return { device: row.device, confirmed_by_storage: isConfirmed }
  })
  app.post(ADMIN_PATHS.adopt, { schema: { body: AdoptArchive } }, async request => {
    const { archive, user, hostname } = request.body as Static<typeof AdoptArchive>
    const row = await devices.adopt(archive, user, hostname)
    return { device: row.device, archive, user }
  })
  app.get(ADMIN_PATHS.administrators, async () => ({ administrators: await parts.administrators.list() }))
  app.post(ADMIN_PATHS.administrators, { schema: { body: AddAdministrator } }, async request => {
    const { administrator, password, tenant } = request.body as Static<typeof AddAdministrator>
    await (tenant === null ? parts.administrators.addToSite(administrator, password) : parts.administrators.add(administrator, tenant, password))
    return {}
  })
  app.post(ADMIN_PATHS.removeAdministrator, { schema: { body: NamedAdministrator } }, async request => {
    await parts.administrators.remove((request.body as Static<typeof NamedAdministrator>).administrator)
    return {}
  })
  app.get(ADMIN_PATHS.escrows, async () => ({ escrows: (await parts.escrow?.escrows.list()) ?? [] }))
  app.post(ADMIN_PATHS.redeliver, async () => {
    if (!parts.escrow) return { count: 0, lost: 0 }
    return parts.escrow.escrows.redeliver(await parts.escrow.slots.remake())
  })
  const slots = async (): Promise<object> => ({ ready: parts.escrow?.ready() ?? 0, free: parts.escrow?.slots.free() ?? {}, running: parts.isRunning })
  app.get(ADMIN_PATHS.slots, slots)
  app.post(ADMIN_PATHS.slots, { schema: { body: SlotsReady } }, async request => {
    await parts.escrow?.setReady((request.body as Static<typeof SlotsReady>).count)
    return slots()
  })
  app.post(ADMIN_PATHS.acknowledge, async () => ({ alarms: (await parts.escrow?.alarms.acknowledge('admin')) ?? [] }))
  app.get(ADMIN_PATHS.status, async () => ({
    version: parts.version,
    running: parts.isRunning,
    ...(await readHealth(parts.home, parts.certificates, now())),
    users: (await people.users()).length,
    devices: await devices.list(),
    keystore: await keystoreState(parts.escrow),
  }))
  app.get(ADMIN_PATHS.audit, async () => {
    const { lines, last } = await checkAudit(parts.auditFile)
    return { lines, last }
  })
}
