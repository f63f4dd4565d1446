// The routes of a restore for somebody else. The same on both servers: over HTTPS for a browser or another machine, over the
// admin socket for the commands.
import type { FastifyInstance, RawServerBase } from 'fastify'
import { fault } from '#protocol/errors.ts'
import { AskedRestore, NamedRestore, PushRequest, RESTORE_PATHS, RestoreFetch, RestoreRequest, ShownRestore } from '#protocol/restore-api.ts'
import { ErrorAnswer } from '#protocol/storage-api.ts'
import { Type } from '#protocol/typebox.js'
import type { Administrators } from './administrators.ts'
import type { Restores } from './restores.ts'

const errors = { '4xx': ErrorAnswer, '5xx': ErrorAnswer }
const TYPES = { tar: 'application/x-tar', zip: 'application/zip' } as const

export type RestoreParts = {
  readonly administrators: Administrators
  /** Undefined at a site without a keystore: nobody can restore for somebody else there. */
  readonly restores: Restores | undefined
}

/** Adds the paths. */
export function addRestoreRoutes<Server extends RawServerBase>(app: FastifyInstance<Server>, { administrators, restores }: RestoreParts): void {
  const needed = (): Restores => {
    if (!restores) throw fault('ESCROW_NONE', { found: 'a site without a keystore', next: 'only the owner can restore, or whoever has the recovery file' })
    return restores
  }
  app.post(RESTORE_PATHS.ask, { schema: { body: RestoreRequest, response: { ...errors, 200: AskedRestore } } }, async request => {
    const body = request.body as RestoreRequest
    const administrator = await administrators.check(body.administrator, body.password)
    return needed().ask(administrator, body)
  })
  app.post(RESTORE_PATHS.push, { schema: { body: PushRequest, response: { ...errors, 200: AskedRestore } } }, async request => {
    const body = request.body as PushRequest
    const administrator = await administrators.check(body.administrator, body.password)
    return needed().pushes.ask(administrator, body)
  })
  app.post(RESTORE_PATHS.show, { schema: { body: NamedRestore, response: { ...errors, 200: ShownRestore } } }, async request => {
    const body = request.body as NamedRestore
    const administrator = await administrators.check(body.administrator, body.password)
    return needed().show(administrator, body.restore)
  })
  app.post(RESTORE_PATHS.cancel, { schema: { body: NamedRestore, response: { ...errors, 200: Type.Object({}) } } }, async request => {
    const body = request.body as NamedRestore
    const administrator = await administrators.check(body.administrator, body.password)
    await needed().cancel(administrator, body.restore)
    return {}
  })
  app.post(RESTORE_PATHS.fetch, { schema: { body: RestoreFetch } }, async (request, reply) => {
    const body = request.body as RestoreFetch
    const administrator = await administrators.check(body.administrator, body.password)
    const { output, bytes, name, format } = await needed().fetch(administrator, body.restore, body.from_bytes)
    return reply
      .type(TYPES[format])
      .header('content-length', bytes)
      .header('content-disposition', `attachment; filename="${name}"`)
      .header('cache-control', 'no-store')
      .send(output)
  })
}
