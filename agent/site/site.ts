// The site as a paired agent sees it: its authority and its storage node, over TLS 1.3 with the CA that was pinned at
// pairing and the device's own certificate. Tickets are fetched when they are needed and renewed before they end,
// counted from when they came: this device's clock is never compared with the site's.
import { Agent } from 'node:https'
import { createSecureContext } from 'node:tls'
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { AUTHORITY_PATHS, Device, Escrow, type EscrowRequest, Ticket, UserKey } from '#protocol/authority-api.ts'
import { isFault } from '#protocol/fault.ts'
import { ID_BYTES } from '#protocol/record.ts'
import { OwnRestores, RESTORE_PATHS } from '#protocol/restore-api.ts'
import { ArchiveState, BYTES_TYPE, Committed, type Head, SESSION_HEADER, Session, Snapshots, STORAGE_PATHS, Stored } from '#protocol/storage-api.ts'
import { TICKET_SCHEME } from '#protocol/ticket.ts'
import { type Static, type TSchema, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { type Identity, parseIdentity } from './identity.ts'
import type { Request } from './open-request.ts'
import { readEach } from './read.ts'
import { createRecordMemory, type OnRecord } from './record-memory.ts'
import { readAll, send, sendForJson, sendRepeatedly } from './request.ts'

/** A ticket is renewed so long before it ends. */
const TICKET_MARGIN_MS = 30_000
const CONNECTIONS_MAX = 6
/** A list of half a million snapshots. */
const SNAPSHOTS_BYTES_MAX = 64 * 1024 * 1024
/** Where the id lies in a record. */
const ID_OFFSET = 20

export type Site = {
  readonly identity: Identity
  /** The archive's id, hex. */
  readonly archive: string
  /** What the authority says of this device. DEVICE_DEAUTHORIZED wipes the authorized storage before it is thrown. */
  device(): Promise<Device>
  putHead(head: Head): Promise<void>
  /** Gives the authorization back. */
  leave(): Promise<void>
  state(): Promise<ArchiveState>
  snapshots(): Promise<Snapshots>
  openSession(): Promise<Session>
  closeSession(session: string): Promise<void>
  /** Which of the joined ids are missing: bit i, least significant first. */
  missing(session: string, ids: Buffer): Promise<Uint8Array>
  /** Durable on the storage node when it resolves. The records are not copied. */
  upload(session: string, records: readonly Buffer[]): Promise<Stored>
  commit(session: string, record: Buffer): Promise<Committed>
  /** Hands over each record of the joined ids once, in the order of the storage node's disk; several may be in hand at once. */
  read(ids: Buffer, onRecord: OnRecord): Promise<void>
  /** What the authority keeps of the user's key. */
  escrow(): Promise<Escrow>
  /** Durable at the authority when it resolves. @throws ESCROW_EXISTS */
  putEscrow(request: EscrowRequest): Promise<Escrow>
  /** The key of the user, sealed to a key that was made for this answer (32 bytes). @throws KEY_NOT_GRANTED, KEY_FETCHES_LIMITED, ESCROW_NONE, ESCROW_WAITING, KEYSTORE_AWAY */
  fetchKey(answerKey: Buffer): Promise<UserKey>
  /** What others restored of this user. */
  ownRestores(): Promise<OwnRestores>
  /** Says that the key is stored here. */
  keyStored(): Promise<void>
  /** Asks the authority, again on a broken connection: for what may be asked twice (pushes.ts). */
  ask<Schema extends TSchema>(schema: Schema, path: string, body: object, bytes_max?: number): Promise<Static<Schema>>
  /** The connections of this device, with its certificate. */
  readonly agent: Agent
  close(): void
}

const Nothing = Type.Object({})

/**
 * Opens the connection of a paired agent; nothing is sent yet.
 *
 * @param signal  aborts whatever is under way
 * @throws NOT_PAIRED
 */
export async function openSite(storage: AuthorizedStorage, signal?: AbortSignal): Promise<Site> {
  const identity = parseIdentity(await storage.get('site'))
  const key = await storage.get('device-key')
  if (!key) throw fault('NOT_PAIRED', { found: 'no device key' })
  return connectSite(identity, key, storage, signal)
}

/**
 * The same for an identity that is not stored yet.
 *
 * @param key  the device's, PKCS#8 in PEM; wiped
 */
export function connectSite(identity: Identity, key: Buffer, storage: AuthorizedStorage, signal?: AbortSignal): Site {
  // Made once: the key is in OpenSSL's memory only from here on, and in no name of a connection.
  const secureContext = createSecureContext({ minVersion: 'TLSv1.3', ca: identity.ca, cert: identity.certificate, key })
  key.fill(0)
  const memory = createRecordMemory()
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX, secureContext })
  let ticket: { text: string; until_ms: number } | undefined
  let fetching: Promise<string> | undefined

  const atAuthority = (request: Omit<Request, 'origin' | 'agent' | 'signal'>): Request => ({ ...request, origin: identity.authority, agent, signal })
  let isReached = false
  /** Again on a broken connection, once the site was reached: somebody who never was there is named at once. */
  const again = <Answer>(attempt: () => Promise<Answer>): Promise<Answer> =>
    sendRepeatedly(
      async () => {
        const answer = await attempt()
        isReached = true
        return answer
      },
      { signal, isHopeful: () => isReached },
    )
  /** Deauthorized means that nothing may stay here. */
  const guarded = async <Answer>(act: () => Promise<Answer>): Promise<Answer> => {
    try {
      return await act()
    } catch (error) {
      if (isFault(error, 'DEVICE_DEAUTHORIZED')) await storage.wipe()
      throw error
    }
  }
  const fetchTicket = async (): Promise<string> => {
    const asked_ms = performance.now()
    const body = { archive: identity.archive, verbs: ['backup', 'restore'] }
    const answer = await guarded(() => again(() => sendForJson(Ticket, atAuthority({ method: 'POST', path: AUTHORITY_PATHS.tickets, body }))))
    ticket = { text: answer.ticket, until_ms: asked_ms + answer.expires_in_ms - TICKET_MARGIN_MS }
    return answer.ticket
  }
  const currentTicket = (): Promise<string> => {
    if (ticket && performance.now() < ticket.until_ms) return Promise.resolve(ticket.text)
    fetching ??= fetchTicket().finally(() => {
      fetching = undefined
    })
    return fetching
  }
  /** A request to the storage node with a ticket; once more with a new one if the ticket had ended on the way. */
  const atStorage = async <Answer>(
    path: string,
    request: Omit<Request, 'origin' | 'agent' | 'signal' | 'path'>,
    act: (request: Request) => Promise<Answer>,
  ): Promise<Answer> => {
    const attempt = (text: string): Promise<Answer> => {
      const headers = { ...request.headers, authorization: `${TICKET_SCHEME} ${text}` }
      return act({ ...request, path: path.replace(':archive', identity.archive), origin: identity.storage, agent, signal, headers })
    }
    const text = await currentTicket()
    return again(async () => {
      try {
        return await attempt(text)
      } catch (error) {
        if (isFault(error, 'TICKET_EXPIRED')) {
          ticket = undefined
          return attempt(await currentTicket())
        }
        // Who is out, and why, is for the authority to say: it knows, and its word wipes this device.
        if (isFault(error, 'DEVICE_DEAUTHORIZED')) {
          ticket = undefined
          await currentTicket()
        }
        throw error
      }
    })
  }
  const inSession = (session: string): Record<string, string> => ({ [SESSION_HEADER]: session })

  const site: Site = {
    identity,
    archive: identity.archive,
    device: () => guarded(() => again(() => sendForJson(Device, atAuthority({ method: 'GET', path: AUTHORITY_PATHS.device })))),
    async putHead(head) {
      await guarded(() => again(() => sendForJson(Nothing, atAuthority({ method: 'PUT', path: AUTHORITY_PATHS.head, body: head }))))
    },
    async leave() {
      await sendForJson(Nothing, atAuthority({ method: 'DELETE', path: AUTHORITY_PATHS.device }))
    },
    state: () => atStorage(STORAGE_PATHS.archive, { method: 'GET' }, request => sendForJson(ArchiveState, request)),
    snapshots: () => atStorage(STORAGE_PATHS.snapshots, { method: 'GET' }, request => sendForJson(Snapshots, request, SNAPSHOTS_BYTES_MAX)),
    openSession: () => atStorage(STORAGE_PATHS.sessions, { method: 'POST', body: {} }, request => sendForJson(Session, request)),
    async closeSession(session) {
      await atStorage(STORAGE_PATHS.session.replace(':session', session), { method: 'DELETE' }, request => sendForJson(Nothing, request))
    },
    missing: (session, ids) =>
      atStorage(STORAGE_PATHS.missing, { method: 'POST', pieces: [ids], headers: inSession(session) }, async request => {
        const wanted_bytes = Math.ceil(ids.length / ID_BYTES / 8)
        const bitmap = await readAll(await send(request), wanted_bytes)
        if (bitmap.length !== wanted_bytes) throw fault('ANSWER_INVALID', { expected: `${wanted_bytes} bytes`, found: `${bitmap.length}` })
        return bitmap
      }),
    upload: (session, records) =>
      atStorage(STORAGE_PATHS.records, { method: 'POST', pieces: records, headers: inSession(session) }, request => sendForJson(Stored, request)),
    async commit(session, record) {
      try {
        return await atStorage(STORAGE_PATHS.snapshots, { method: 'POST', pieces: [record], headers: inSession(session) }, request =>
          sendForJson(Committed, request),
        )
      } catch (error) {
        // The answer to a commit that was done may have been lost on the way: then the newest snapshot is this one.
        if (!isFault(error, 'SNAPSHOT_OUT_OF_SEQUENCE', 'SESSION_UNKNOWN')) throw error
        const id = record.toString('hex', ID_OFFSET, ID_OFFSET + ID_BYTES)
        const committed = (await site.snapshots()).snapshots.find(row => row.snapshot === id)
        if (!committed) throw error
        return committed
      }
    },
    read: (ids, onRecord) =>
      readEach(ids, some => atStorage(STORAGE_PATHS.read, { method: 'POST', pieces: [some], headers: { accept: BYTES_TYPE } }, send), memory, onRecord, signal),
    escrow: () => guarded(() => again(() => sendForJson(Escrow, atAuthority({ method: 'GET', path: AUTHORITY_PATHS.escrow })))),
    putEscrow: body => guarded(() => again(() => sendForJson(Escrow, atAuthority({ method: 'POST', path: AUTHORITY_PATHS.escrow, body })))),
    fetchKey: answerKey => {
      const body = { answer_key: answerKey.toString('base64') }
      return guarded(() => sendForJson(UserKey, atAuthority({ method: 'POST', path: AUTHORITY_PATHS.key, body })))
    },
    ownRestores: () => guarded(() => again(() => sendForJson(OwnRestores, atAuthority({ method: 'GET', path: RESTORE_PATHS.own })))),
    async keyStored() {
      await guarded(() => again(() => sendForJson(Nothing, atAuthority({ method: 'DELETE', path: AUTHORITY_PATHS.key }))))
    },
    ask: (schema, path, body, bytes_max) => guarded(() => again(() => sendForJson(schema, atAuthority({ method: 'POST', path, body }), bytes_max))),
    agent,
    close: () => agent.destroy(),
  }
  return site
}
