// The HTTPS server: TLS 1.3, certificates asked for, everything timed and bounded, every error answered in one shape.
import { constants } from 'node:crypto'
import Fastify from 'fastify'
import { answerOfFault, fault } from '#protocol/errors.ts'
import { JSON_BYTES_MAX, SESSION_IDLE_MS } from '#protocol/limits.ts'
import type { AccessControl } from './access.ts'
import { faultToAnswer, rawAnswer } from './answer-fault.ts'
import type { App } from './routes.ts'
import { compileSerializer, compileValidator, type SchemaTypes } from './validation.ts'

export type TlsFiles = { readonly certificate: string; readonly key: string; readonly ca: string }

const CONNECTIONS_MAX = 512
const HANDSHAKE_MS = 10_000
const HEADERS_MS = 20_000
/** A whole request, body included: 40 MiB at 140 KiB/s. */
const REQUEST_MS = 300_000
/** An agent's connections stay open as long as its session does. */
const KEEP_ALIVE_MS = SESSION_IDLE_MS + 30_000
const PROBE_MS = 30_000

/** Makes the server, without paths; it does not listen yet. */
export function createServer(tls: TlsFiles, access: AccessControl, log: (error: unknown) => void): App {
  const sendFault = (reply: { code(status: number): unknown }, error: unknown): unknown => {
    const answered = faultToAnswer(error, log)
    return (reply.code(answered.status) as { send(body: unknown): unknown }).send(answerOfFault(answered))
  }
  const app = Fastify({
    https: {
      cert: tls.certificate,
      key: tls.key,
      ca: tls.ca,
      minVersion: 'TLSv1.3',
      requestCert: true,
      // Checked at each request (peer.ts), so that the answer can say what is wrong.
      rejectUnauthorized: false,
      // Each connection presents its certificate anew: none is resumed.
      secureOptions: constants.SSL_OP_NO_TICKET,
      handshakeTimeout: HANDSHAKE_MS,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_MS,
      noDelay: true,
    },
    bodyLimit: JSON_BYTES_MAX,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    return503OnClosing: false,
    exposeHeadRoutes: false,
    frameworkErrors: (error, _request, reply) => void sendFault(reply, error),
    clientErrorHandler: (_error, socket) => {
      if (socket.writable) socket.end(rawAnswer())
      else socket.destroy()
    },
    logger: false,
  }).withTypeProvider<SchemaTypes>()
  app.server.headersTimeout = HEADERS_MS
  app.server.maxConnections = CONNECTIONS_MAX
  app.server.on('tlsClientError', (_error, socket) => socket.destroy())

  app.setValidatorCompiler(compileValidator)
  app.setSerializerCompiler(compileSerializer)
  app.setErrorHandler((error, _request, reply) => sendFault(reply, error))
  app.setNotFoundHandler((_request, reply) => sendFault(reply, fault('NOT_FOUND')))
  app.addHook('onRequest', async (request, reply) => {
    const archive = (request.params as { archive?: string } | undefined)?.archive
    await access.admit(request.raw, reply.raw, request.routeOptions.config.access, archive)
  })
  return app
}
