// How the authority's two servers check what they are sent and answer what goes wrong.
import type { FastifyInstance, RawServerBase } from 'fastify'
import { Compile } from 'typebox/compile'
import { answerOfFault, fault } from '#protocol/errors.ts'
import { Fault } from '#protocol/fault.ts'

/** Bodies and parameters are checked against their TypeBox schemas; every error is answered with its code, none with its insides. */
export function answerPlainly<Server extends RawServerBase>(app: FastifyInstance<Server>): void {
  app.setValidatorCompiler(({ schema }) => {
    const shape = Compile(schema as Parameters<typeof Compile>[0])
    return value => (shape.Check(value) ? { value } : { error: new Error('another shape') })
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send(answerOfFault(fault('NOT_FOUND'))))
  app.setErrorHandler((error, _request, reply) => {
    const known = faultOf(error)
    if (known.code === 'INTERNAL') process.stderr.write(`authority: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    return reply
      .code(known.status)
      .type('application/json')
      .send(JSON.stringify(answerOfFault(known)))
  })
}

function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return fault('BODY_TOO_LARGE')
  return typeof statusCode === 'number' && statusCode < 500 ? fault('REQUEST_INVALID') : fault('INTERNAL', { cause: error })
}
