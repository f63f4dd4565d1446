// The set-up server: the form for people and the same as a JSON API, over HTTPS. Everything that comes in is bounded, and
// nothing is answered twice: after it has finished it answers no more.
import type { Server } from 'node:https'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { answerPlainly } from '#authority/answering.ts'
import { isFault } from '#protocol/fault.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { type Static, Type } from '#protocol/typebox.js'
import type { SetupCertificate } from './certificate.ts'
import { FIELD_OF, formNow, formOf, readForm, settingsOf } from './form.ts'
import type { SiteFacts } from './machine-part.ts'
import type { Network } from './network.ts'
import { donePage, formPage, PAGE_HEADERS, recoveryPage, type Trouble, troublePage } from './page.ts'
import type { Setup } from './setup.ts'
import type { Time } from './time.ts'

const SILENCE_MS = 60_000
const CONNECTIONS_MAX = 64
/** A connection file, and what stands around it. */
const BODY_BYTES_MAX = JSON_BYTES_MAX + 64 * 1024

export const SETUP_PATHS = { form: '/', finishForm: '/finish', begin: '/api/begin', finish: '/api/finish' } as const

export type MachineNow = { readonly interfaces: readonly string[]; readonly network: Network; readonly time: Time }

const closed = { additionalProperties: false }
export const Begin = Type.Object({ code: Type.String({ maxLength: 32 }), settings: Type.Unknown() }, closed)
export const Finish = Type.Object({ session: Type.String({ maxLength: 64 }), recovery_key_end: Type.String({ maxLength: 64 }) }, closed)

/**
 * @param machine   how the machine is when somebody opens the form
 * @param finished  is called once the answer that it is finished has left
 */
export function createServer(tls: SetupCertificate, setup: Setup, machine: () => MachineNow, finished: () => void): FastifyInstance<Server> {
  const app: FastifyInstance<Server> = fastify({
    https: { key: tls.key, cert: tls.certificate, minVersion: 'TLSv1.3' },
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: SILENCE_MS,
    keepAliveTimeout: SILENCE_MS,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
  })
  app.server.maxConnections = CONNECTIONS_MAX
  app.server.headersTimeout = SILENCE_MS
  let isFinished = false
  answerPlainly(app)
  app.addHook('onSend', async (_request, reply) => {
    reply.headers(PAGE_HEADERS)
    if (isFinished) reply.header('connection', 'close')
  })
  app.addHook('onResponse', async (request, reply) => {
    const isLast = request.url === SETUP_PATHS.finish || request.url === SETUP_PATHS.finishForm
    if (isFinished && isLast && reply.statusCode === 200) finished()
  })
  const finish = async (session: string, end: string): Promise<SiteFacts> => {
    const site = await setup.finish(session, end)
    isFinished = true
    return site
  }
  app.post(SETUP_PATHS.begin, { schema: { body: Begin } }, request => {
    const { code, settings } = request.body as Static<typeof Begin>
    return setup.begin(request.ip, code, settings)
  })
  app.post(SETUP_PATHS.finish, { schema: { body: Finish } }, request => {
    const { session, recovery_key_end } = request.body as Static<typeof Finish>
    return finish(session, recovery_key_end)
  })
  void app.register(async pages => addPages(pages as unknown as FastifyInstance<Server>, setup, finish, machine))
  return app
}

function addPages(app: FastifyInstance<Server>, setup: Setup, finish: (session: string, end: string) => Promise<SiteFacts>, machine: () => MachineNow): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(['multipart/form-data', 'application/x-www-form-urlencoded'], { parseAs: 'buffer' }, (request: FastifyRequest, body: Buffer) =>
    readForm(body, request.headers['content-type'] ?? ''),
  )
  app.addHook('onRequest', async (_request, reply) => {
    reply.type('text/html; charset=utf-8')
  })
  app.get(SETUP_PATHS.form, () => {
    const { interfaces, network, time } = machine()
    return formPage(interfaces, formNow(network, time))
  })
  app.post(SETUP_PATHS.form, async (request, reply) => {
    const form = formOf(fieldsOf(request))
    try {
      const { session, recovery_key } = await setup.begin(request.ip, form.code, settingsOf(form))
      return recoveryPage(session, recovery_key)
    } catch (error) {
      const { trouble, status } = troubleOf(error)
      reply.code(status)
      return formPage(machine().interfaces, form, trouble)
    }
  })
  app.post(SETUP_PATHS.finishForm, async (request, reply) => {
    const fields = fieldsOf(request)
    const session = fields.get('session') ?? ''
    try {
      return donePage(await finish(session, fields.get('recovery_key_end') ?? ''))
    } catch (error) {
      const { trouble, status } = troubleOf(error)
      reply.code(status)
      return isFault(error, 'RECOVERY_KEY_OTHER') ? recoveryPage(session, setup.recoveryKeyOf(session), trouble) : troublePage(trouble)
    }
  })
  app.setErrorHandler((error, _request, reply) => {
    const { trouble, status } = troubleOf(error)
    return reply.code(status).send(troublePage(trouble))
  })
}

const fieldsOf = ({ body }: FastifyRequest): Map<string, string> => (body instanceof Map ? (body as Map<string, string>) : new Map())

function troubleOf(error: unknown): { trouble: Trouble; status: number } {
  if (isFault(error)) {
    const at = error.facts['field']
    const field = error.code === 'CODE_WRONG' ? 'code' : typeof at === 'string' ? FIELD_OF[at] : undefined
    return { trouble: { text: error.message, field }, status: error.status }
  }
  const { statusCode, code } = error as { statusCode?: unknown; code?: unknown }
  if (typeof statusCode === 'number' && statusCode < 500)
    return { trouble: { text: code === 'FST_ERR_CTP_BODY_TOO_LARGE' ? 'What was sent is too large.' : 'What was sent is not a form.' }, status: statusCode }
  process.stderr.write(`set-up: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return { trouble: { text: 'The appliance failed. Try again.' }, status: 500 }
}
