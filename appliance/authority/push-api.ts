// The routes of a device that carries out a restore for somebody else: it waits, has the key, has tickets, and reports.
import type { Server } from 'node:https'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { Ticket, UserKey } from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import { NamedPush, PUSH_PATHS, PushKeyRequest, PushReport, Waited } from '#protocol/push-api.ts'
import { ErrorAnswer } from '#protocol/storage-api.ts'
import type { Pushes } from './pushes.ts'
import type { DeviceRow } from './state.ts'

const errors = { '4xx': ErrorAnswer, '5xx': ErrorAnswer }
const Nothing = Type.Object({})

type Caller = { readonly row: DeviceRow; readonly thumbprint: string }

/** Adds the paths. @param pushes  undefined at a site without a keystore: nothing is ever pushed there */
export function addPushRoutes(app: FastifyInstance<Server>, pushes: () => Pushes | undefined, callerOf: (request: FastifyRequest) => Promise<Caller>): void {
  const needed = (): Pushes => {
    const known = pushes()
    if (!known) throw fault('ESCROW_NONE', { found: 'a site without a keystore', next: 'nothing can be pushed to a device of such a site' })
    return known
  }
  // Requests that are held would hold up the end of the server.
  app.addHook('preClose', async () => pushes()?.close())
  app.post(PUSH_PATHS.wait, { schema: { body: Nothing, response: { ...errors, 200: Waited } } }, async (request, reply) => {
    const { row } = await callerOf(request)
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    return needed().wait(row, gone.signal)
  })
  app.post(PUSH_PATHS.key, { schema: { body: PushKeyRequest, response: { ...errors, 200: UserKey } } }, async request => {
    const { row } = await callerOf(request)
    const { restore, answer_key } = request.body as PushKeyRequest
    return needed().key(row, restore, Buffer.from(answer_key, 'base64'))
  })
  app.post(PUSH_PATHS.ticket, { schema: { body: NamedPush, response: { ...errors, 200: Ticket } } }, async request => {
    const { row, thumbprint } = await callerOf(request)
    return needed().ticket(row, thumbprint, (request.body as NamedPush).restore)
  })
  app.post(PUSH_PATHS.report, { schema: { body: PushReport, response: { ...errors, 200: Nothing } } }, async request => {
    const { row } = await callerOf(request)
    await needed().report(row, request.body as PushReport)
    return {}
  })
}
