// The storage node's paths: what each asks for, and what it does with the archive engine. Who may ask is in access.ts.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server } from 'node:https'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import Type from 'typebox'
import { append } from '#archive/append.ts'
import { openArchive, snapshots, state } from '#archive/archive.ts'
import { commitSnapshot } from '#archive/commit-snapshot.ts'
import { missing } from '#archive/lookup.ts'
import { read } from '#archive/read.ts'
import type { Store } from '#archive/store.ts'
import { fault } from '#protocol/errors.ts'
import { MISSING_IDS_MAX, READ_IDS_MAX, UPLOAD_BYTES_MAX } from '#protocol/limits.ts'
import { RECORD_BYTES_MAX } from '#protocol/record.ts'
import {
  ArchiveParams,
  ArchiveState,
  BYTES_TYPE,
  Committed,
  Deauthorized,
  ErrorAnswer,
  Health,
  SESSION_HEADER,
  Session,
  SessionParams,
  Snapshots,
  STORAGE_PATHS,
  Stored,
} from '#protocol/storage-api.ts'
import type { Verb } from '#protocol/ticket.ts'
import { sendChunks } from './answer-stream.ts'
import { withIds } from './bodies.ts'
import type { Budget } from './budget.ts'
import type { DeauthorizedDevices } from './deauthorized.ts'
import type { Intake } from './record-intake.ts'
import { checkUploaded, onlySnapshot } from './record-rules.ts'
import { holdIds, type Sessions } from './sessions.ts'
import type { SchemaTypes } from './validation.ts'

/** Who may use a path: any device of the site, the authority alone, or a device with a ticket for one of these verbs. */
export type Access = 'certificate' | 'authority' | readonly Verb[]

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
  }
}

export type App = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, SchemaTypes>

/** What the paths work with. */
export type Rooms = {
  readonly store: Store
  readonly sessions: Sessions
  readonly session_idle_ms: number
  readonly intake: Intake
  readonly deauthorized: DeauthorizedDevices
  /** Ends what a device has under way. */
  readonly cutOff: (entry: Deauthorized) => void
  /** For lists of ids, and for records that are being read. */
  readonly lists: Budget
  readonly reading: Budget
  readonly version: string
  readonly log: (error: unknown) => void
}

const Nothing = Type.Object({})
const errors = { '4xx': ErrorAnswer, '5xx': ErrorAnswer }
/** Answers of bytes are sent as they are. */
const Bytes = Type.Unsafe<unknown>({ type: 'string', format: 'binary' })
const backup = { access: ['backup'] } as const
const backupOrRestore = { access: ['backup', 'restore'] } as const
const bytesBody = (description: string): object => ({ consumes: [BYTES_TYPE], description })
const SessionHeaders = Type.Object({ [SESSION_HEADER]: Type.Optional(Type.String({ maxLength: 200 })) })

/** Adds all paths. The rooms are asked only when a request comes. */
export function addRoutes(app: App, rooms: Rooms): void {
  app.addContentTypeParser(BYTES_TYPE, (_request, _body, done) => done(null, undefined))

  app.get(STORAGE_PATHS.health, { schema: { response: { 200: Health, ...errors } }, config: { access: 'certificate' } }, async () => ({
    ok: true,
    version: rooms.version,
    time_ms: Date.now(),
  }))

  app.put(
    STORAGE_PATHS.deauthorized,
    { schema: { body: Deauthorized, response: { 200: Nothing, ...errors } }, config: { access: 'authority' } },
    async request => {
      const durable = rooms.deauthorized.add(request.body)
      rooms.cutOff(request.body)
      await durable
      return {}
    },
  )

  app.get(STORAGE_PATHS.archive, { schema: { params: ArchiveParams, response: { 200: ArchiveState, ...errors } }, config: backupOrRestore }, async request =>
    state(await openArchive(rooms.store, request.params.archive, { create: false })),
  )

  addSessionRoutes(app, rooms)
  addUploadRoutes(app, rooms)
  addReadingRoutes(app, rooms)
}

function addSessionRoutes(app: App, rooms: Rooms): void {
  app.post(STORAGE_PATHS.sessions, { schema: { params: ArchiveParams, response: { 200: Session, ...errors } }, config: backup }, async request => {
    const archive = await openArchive(rooms.store, request.params.archive, { create: true })
    const session = await rooms.sessions.open(archive.id, request.raw.socket)
    const { head, records } = state(archive)
    return { session: session.id, head, idle_ms: rooms.session_idle_ms, records }
  })

  app.delete(STORAGE_PATHS.session, { schema: { params: SessionParams, response: { 200: Nothing, ...errors } }, config: backup }, async request => {
    rooms.sessions.end(request.params.archive, request.params.session)
    return {}
  })
}

function addUploadRoutes(app: App, rooms: Rooms): void {
  app.post(
    STORAGE_PATHS.missing,
    {
      schema: {
        ...bytesBody('Joined ids, 32 bytes each. The answer is a bitmap: bit i, least significant first, is 1 if id i is missing.'),
        produces: [BYTES_TYPE],
        params: ArchiveParams,
        headers: SessionHeaders,
        response: { 200: Bytes, ...errors },
      },
      config: backup,
    },
    async (request, reply) =>
      rooms.sessions.use(request.params.archive, request.headers[SESSION_HEADER], request.raw.socket, async session => {
        const archive = await openArchive(rooms.store, session.archive, { create: false })
        const bitmap = await withIds(rooms.lists, request.raw, MISSING_IDS_MAX, ids => {
          // Held before it is looked up: what is answered as stored is not collected before it can be referred to.
          holdIds(session, ids)
          return missing(archive, ids)
        })
        return reply.type(BYTES_TYPE).send(Buffer.from(bitmap.buffer, bitmap.byteOffset, bitmap.byteLength))
      }),
  )

  app.post(
    STORAGE_PATHS.records,
    {
      schema: { ...bytesBody('Joined records, as they are framed.'), params: ArchiveParams, headers: SessionHeaders, response: { 200: Stored, ...errors } },
      config: backup,
    },
    async request =>
      rooms.sessions.use(request.params.archive, request.headers[SESSION_HEADER], request.raw.socket, async session => {
        const archive = await openArchive(rooms.store, session.archive, { create: false })
        const sum = { stored: 0, known: 0 }
        await rooms.intake.take(request.raw, {
          body_bytes_max: UPLOAD_BYTES_MAX,
          check: checkUploaded,
          store: async records => {
            for (const { header } of records) holdIds(session, header.id)
            const { stored, known } = await append(archive, records)
            sum.stored += stored
            sum.known += known
          },
        })
        return sum
      }),
  )

  app.post(
    STORAGE_PATHS.snapshots,
    {
      schema: {
        ...bytesBody('One snapshot record, as it is framed.'),
        params: ArchiveParams,
        headers: SessionHeaders,
        response: { 200: Committed, ...errors },
      },
      config: backup,
    },
    async request =>
      rooms.sessions.use(request.params.archive, request.headers[SESSION_HEADER], request.raw.socket, async session => {
        const archive = await openArchive(rooms.store, session.archive, { create: false })
        let committed: Committed | undefined
        await rooms.intake.take(request.raw, {
          body_bytes_max: RECORD_BYTES_MAX,
          isAllOrNothing: true,
          check: onlySnapshot(),
          store: async records => {
            const [record] = records
            if (record) committed = await commitSnapshot(archive, record)
          },
        })
        if (!committed) throw fault('RECORD_INVALID', { expected: 'one snapshot record', found: 'an empty body' })
        return committed
      }),
  )
}

function addReadingRoutes(app: App, rooms: Rooms): void {
  app.get(STORAGE_PATHS.snapshots, { schema: { params: ArchiveParams, response: { 200: Snapshots, ...errors } }, config: backupOrRestore }, async request => {
    const archive = await openArchive(rooms.store, request.params.archive, { create: false })
    return { snapshots: await snapshots(archive) }
  })

  app.post(
    STORAGE_PATHS.read,
    {
      schema: {
        ...bytesBody('Joined ids, 32 bytes each. The answer is their records, joined, each once, in the order in which they lie on disk.'),
        produces: [BYTES_TYPE],
        params: ArchiveParams,
        response: { 200: Bytes, ...errors },
      },
      config: backupOrRestore,
    },
    async (request, reply) => {
      const archive = await openArchive(rooms.store, request.params.archive, { create: false })
      const answer = await withIds(rooms.lists, request.raw, READ_IDS_MAX, ids => read(archive, ids))
      reply.hijack()
      await sendChunks(reply.raw, answer, rooms.reading).catch(rooms.log)
      return reply
    },
  )
}
