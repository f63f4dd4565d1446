// What root does on an appliance that is firmware: the authority only passes it on. Its services listen on Unix sockets that
// this process may open, take one request a connection, and answer with lines of JSON: progress, and at last what came of it.
//   machine.sock  one line of JSON, {"act":…}, checked there
//   update.sock   a release, as bytes
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import type { FastifyInstance, RawServerBase } from 'fastify'
import Type from 'typebox'
import { answerOfFault, fault } from '#protocol/errors.ts'
import { MACHINE_PATHS } from '#protocol/machine-api.ts'

export const MachineAct = Type.Object({ act: Type.String({ minLength: 1, maxLength: 64 }) })
const LINES_TYPE = 'application/x-ndjson'

/** Adds the paths. @param folder  where the sockets are; none: this appliance is no firmware, and says so */
export function addMachineRoutes<Server extends RawServerBase>(app: FastifyInstance<Server>, folder: string | undefined): void {
  // Never held in memory; how long a release may be is in its signed manifest.
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))
  const connect = (name: string): Socket => {
    if (folder === undefined) throw fault('NOT_FIRMWARE')
    return createConnection(join(folder, name))
  }
  app.post(MACHINE_PATHS.acts, { schema: { body: MachineAct } }, (request, reply) => {
    const connection = connect('machine.sock')
    connection.end(`${JSON.stringify(request.body)}\n`)
    return reply.type(LINES_TYPE).send(linesOf(connection))
  })
  app.post(MACHINE_PATHS.update, (request, reply) => {
    const release = request.body
    if (!(release instanceof Readable)) throw fault('REQUEST_INVALID', { expected: 'a release as application/octet-stream', found: 'something else' })
    const connection = connect('update.sock')
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
