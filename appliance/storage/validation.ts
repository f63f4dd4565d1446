// Schemas are TypeBox everywhere: requests and answers are checked with validators compiled from them, so that what is
// written in protocol/ is what is accepted and what is sent.
import type { FastifyTypeProvider } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { fault } from '#protocol/errors.ts'

/** The types of a route's params, query, headers, body and answers, from its schemas. */
export interface SchemaTypes extends FastifyTypeProvider {
  readonly validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  readonly serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown
}

/** Refuses requests of another shape with REQUEST_INVALID. */
export function compileValidator({ schema, httpPart }: { schema: unknown; httpPart?: string }): (value: unknown) => { value: unknown } | { error: Error } {
  const validator = Compile(schema as TSchema)
  return value => {
    if (validator.Check(value)) return { value }
    const first = validator.Errors(value)[0]
    const where = `${httpPart ?? 'request'}${first?.instancePath ?? ''}`
    return { error: fault('REQUEST_INVALID', { expected: `${where} ${first?.message ?? 'of the agreed shape'}`.slice(0, 300), found: 'something else' }) }
  }
}

/** An answer of another shape is our own mistake: it is not sent. */
export function compileSerializer({ schema, url }: { schema: unknown; url?: string }): (value: unknown) => string {
  const validator = Compile(schema as TSchema)
  return value => {
    if (!validator.Check(value)) throw new TypeError(`an answer of ${url ?? 'a route'} does not have the agreed shape`)
    return JSON.stringify(value)
  }
}
