// What root does on an appliance that is firmware: the authority only passes it on. Its services listen on Unix sockets that
// this process may open, take one request a connection, and answer with lines of JSON: progress, and at last what came of it.
//   machine.sock  one line of JSON, {"act":…}, checked there
//   update.sock   a release, as bytes
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import type { FastifyInstance, RawServerBase } from 'fastify'
import Type from 'typebox'
import { answerOfFault, fault } from '#protocol/errors.ts'
import { UPDATE_BYTES_MAX } from '#protocol/limits.ts'
import { MACHINE_PATHS } from '#protocol/machine-api.ts'

export const MachineAct = Type.Object({ act: Type.String({ minLength: 1, maxLength: 64 }) })
const LINES_TYPE = 'application/x-ndjson'

/** Adds the paths. @param folder  where the sockets are */
export function addMachineRoutes<Server extends RawServerBase>(app: FastifyInstance<Server>, folder: string): void {
  app.addContentTypeParser('application/octet-stream', { bodyLimit: UPDATE_BYTES_MAX }, (_request, payload, done) => done(null, payload))
  app.post(MACHINE_PATHS.acts, { schema: { body: MachineAct } }, (request, reply) => {
    const connection = createConnection(join(folder, 'machine.sock'))
    connection.end(`${JSON.stringify(request.body)}\n`)
    return reply.type(LINES_TYPE).send(linesOf(connection))
  })
  app.post(MACHINE_PATHS.update, { bodyLimit: UPDATE_BYTES_MAX }, (request, reply) => {
    const connection = createConnection(join(folder, 'update.sock'))
    const release = request.body as Readable
    // A release that breaks off is one that ends too early: it is refused there.
    release.on('error', () => connection.destroy())
    release.pipe(connection)
    return reply.type(LINES_TYPE).send(linesOf(connection))
  })
}

/** What a service answers; that it does not is a line too, since the answer has begun. */
function linesOf(connection: Readable): Readable {
  const lines = new Transform({ transform: (part, _encoding, done) => done(null, part) })
  connection.on('error', (cause: NodeJS.ErrnoException) => {
    lines.end(`${JSON.stringify({ fault: answerOfFault(fault('MACHINE_SILENT', { found: cause.code ?? cause.message })) })}\n`)
  })
  return connection.pipe(lines)
}
