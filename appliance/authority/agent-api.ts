// What agents ask the authority, over TLS 1.3. Everything but health, the CA and pairing needs the certificate of a device
// that is authorized now.
import type { Server } from 'node:https'
import type { TLSSocket } from 'node:tls'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import Type from 'typebox'
import {
  AUTHORITY_PATHS,
  Ca,
  Device,
  Escrow,
  EscrowRequest,
  HeadRequest,
  KeyRequest,
  Pair,
  Paired,
  Ticket,
  TicketRequest,
  UserKey,
} from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import { JSON_BYTES_MAX, TICKET_MS } from '#protocol/limits.ts'
import { OwnRestores, RESTORE_PATHS } from '#protocol/restore-api.ts'
import { ErrorAnswer, type Head, Health } from '#protocol/storage-api.ts'
import { answerPlainly } from './answering.ts'
import type { KeyAndCertificate } from './certificates.ts'
import type { Devices } from './devices.ts'
import type { AuthorityEscrow } from './keystore-parts.ts'
import type { Pairing } from './pairing.ts'
import { addPushRoutes } from './push-api.ts'
import { addRestoreRoutes, type RestoreParts } from './restore-api.ts'
import type { DeviceRow } from './state.ts'

export type AgentApiParts = RestoreParts & {
  readonly version: string
  readonly ca: string
  /** https://host:port of the storage node, as agents reach it. */
  readonly storage_url: string
  readonly devices: Devices
  readonly pairing: Pairing
  /** Undefined at a site without a keystore. */
  readonly escrow: AuthorityEscrow | undefined
  readonly now: () => number
}

const SILENCE_MS = 120_000
const errors = { '4xx': ErrorAnswer, '5xx': ErrorAnswer }

/** The routes; nothing listens yet. */
export function createAgentApi(tls: KeyAndCertificate, parts: AgentApiParts): FastifyInstance<Server> {
  const app: FastifyInstance<Server> = fastify({
    https: { key: tls.key, cert: tls.certificate, ca: parts.ca, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: false },
    bodyLimit: JSON_BYTES_MAX,
    requestTimeout: SILENCE_MS,
    connectionTimeout: SILENCE_MS,
    keepAliveTimeout: SILENCE_MS,
    forceCloseConnections: 'idle',
    // What was begun is answered; what is new finds nobody, and that is what agents know.
    return503OnClosing: false,
  })
  answerPlainly(app)
  addAgentRoutes(app, parts)
  return app
}

/** Adds all paths. The parts are asked only when a request comes. */
export function addAgentRoutes(app: FastifyInstance<Server>, parts: AgentApiParts): void {
  const { devices, pairing, now } = parts
  const shownDevice = (row: DeviceRow): Device => ({
    device: row.device,
    user: row.user,
    tenant: row.tenant,
    archive: row.archive,
    hostname: row.hostname,
    storage: parts.storage_url,
    head: row.head,
    time_ms: now(),
  })
  const callerOf = async (request: FastifyRequest): Promise<{ row: DeviceRow; thumbprint: string }> => {
    const { name, thumbprint } = presented(request)
    return { row: await devices.deviceOf(name, thumbprint), thumbprint }
  }
  app.get(AUTHORITY_PATHS.health, { schema: { response: { ...errors, 200: Health } } }, () => ({ ok: true, version: parts.version, time_ms: now() }))
  app.get(AUTHORITY_PATHS.ca, { schema: { response: { ...errors, 200: Ca } } }, () => ({ ca: parts.ca }))
  app.post(AUTHORITY_PATHS.pair, { schema: { body: Pair, response: { ...errors, 200: Paired } } }, async request => {
    const { row, certificate, escrow } = await pairing.pair(request.body as Pair)
    return { device: row.device, user: row.user, tenant: row.tenant, archive: row.archive, certificate, ca: parts.ca, storage: parts.storage_url, escrow }
  })
  app.post(AUTHORITY_PATHS.tickets, { schema: { body: TicketRequest, response: { ...errors, 200: Ticket } } }, async request => {
    const { row, thumbprint } = await callerOf(request)
    const { archive, verbs } = request.body as TicketRequest
    return { ticket: await devices.ticket(row, thumbprint, archive, verbs), expires_in_ms: TICKET_MS, time_ms: now() }
  })
  app.get(AUTHORITY_PATHS.device, { schema: { response: { ...errors, 200: Device } } }, async request => shownDevice((await callerOf(request)).row))
  app.delete(AUTHORITY_PATHS.device, { schema: { response: { ...errors, 200: Type.Object({}) } } }, async request => {
    const { row } = await callerOf(request)
    await devices.deauthorize(row, row.user)
    return {}
  })
  app.put(AUTHORITY_PATHS.head, { schema: { body: HeadRequest, response: { ...errors, 200: Type.Object({}) } } }, async request => {
    await devices.putHead((await callerOf(request)).row, request.body as Head)
    return {}
  })
  addEscrowRoutes(app, parts, async request => (await callerOf(request)).row)
  addRestoreRoutes(app, parts)
  addPushRoutes(app, () => parts.restores?.pushes, callerOf)
  app.get(RESTORE_PATHS.own, { schema: { response: { ...errors, 200: OwnRestores } } }, async request => {
    const { row } = await callerOf(request)
    return parts.restores ? parts.restores.own(row.user) : { restores: [] }
  })
}

/** Escrow of the user's key, and the way back for a device that was just paired. */
function addEscrowRoutes(app: FastifyInstance<Server>, parts: AgentApiParts, callerOf: (request: FastifyRequest) => Promise<DeviceRow>): void {
  const needed = (): AuthorityEscrow => {
    const escrow = parts.escrow
    if (!escrow) throw fault('ESCROW_NONE', { found: 'a site without a keystore', next: 'use the recovery file, or another device' })
    return escrow
  }
  app.get(AUTHORITY_PATHS.escrow, { schema: { response: { ...errors, 200: Escrow } } }, async request => {
    const row = await callerOf(request)
    return parts.escrow
      ? parts.escrow.escrows.shown(row.user)
      : { has_keystore: false, slot: null, is_rotation_due: false, custody: 'self-held' as const, held: null }
  })
  app.post(AUTHORITY_PATHS.escrow, { schema: { body: EscrowRequest, response: { ...errors, 200: Escrow } } }, async request => {
    const row = await callerOf(request)
    await needed().escrows.accept(row, request.body as EscrowRequest)
    return needed().escrows.shown(row.user)
  })
  app.post(AUTHORITY_PATHS.key, { schema: { body: KeyRequest, response: { ...errors, 200: UserKey } } }, async request => {
    const row = await callerOf(request)
    return needed().keys.open(row, Buffer.from((request.body as KeyRequest).answer_key, 'base64'))
  })
  app.delete(AUTHORITY_PATHS.key, { schema: { response: { ...errors, 200: Type.Object({}) } } }, async request => {
    await needed().keys.endGrant(await callerOf(request))
    return {}
  })
}

/** The certificate of this connection. @throws CERTIFICATE_REQUIRED unless the site's CA signed it and it is valid now */
function presented(request: FastifyRequest): { name: string; thumbprint: string } {
  const socket = request.raw.socket as TLSSocket
  if (!socket.authorized) throw fault('CERTIFICATE_REQUIRED', { found: `${socket.authorizationError ?? 'none'}` })
  const { fingerprint256, subject } = socket.getPeerCertificate()
  const { CN } = subject
  return { name: typeof CN === 'string' ? CN : '', thumbprint: Buffer.from(fingerprint256.replaceAll(':', ''), 'hex').toString('base64url') }
}
