// The HTTP APIs of authority and storage node as OpenAPI 3.1, from the schemas of their routes: the same that requests and
// answers are checked with.
import type { Server } from 'node:https'
import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance } from 'fastify'
import { type AgentApiParts, addAgentRoutes } from '#authority/agent-api.ts'
import { TICKET_SCHEME } from '#protocol/ticket.ts'
import { type App, addRoutes, type Rooms } from '#storage/routes.ts'
import package_ from '../../package.json' with { type: 'json' }

const SCHEMES = {
  certificate: { type: 'mutualTLS', description: 'The certificate of a device, signed by the CA of the site.' },
  ticket: { type: 'http', scheme: TICKET_SCHEME, description: 'A ticket of the authority, bound to the client certificate (RFC 8705).' },
  // The library's types know OpenAPI 3.0 only, which has no mutualTLS.
} as unknown as Record<string, { $ref: string }>

/** File (from the root of the checkout) → what is to be in it. */
export async function describeApis(): Promise<Record<string, string>> {
  return {
    'appliance/authority/openapi.json': await describe(
      { title: 'Holdfast authority', description: 'What agents ask the authority. TLS 1.3.', security: [{ certificate: [] }] },
      // Nothing is asked of the parts while routes are only described.
      app => addAgentRoutes(app as FastifyInstance<Server>, {} as AgentApiParts),
    ),
    'appliance/storage/openapi.json': await describe(
      {
        title: 'Holdfast storage node',
        description: 'Records go in and out as bytes, joined; PROTOCOL.md says how they are framed. TLS 1.3.',
        security: [{ certificate: [], ticket: [] }],
      },
      app => addRoutes(app as App, {} as Rooms),
    ),
  }
}

type About = { readonly title: string; readonly description: string; readonly security: Record<string, string[]>[] }

async function describe({ title, description, security }: About, addAll: (app: unknown) => void): Promise<string> {
  const app = fastify()
  // As they are: what the routes' own compilers make of the schemas is not asked for.
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => value => JSON.stringify(value))
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title, description, version: package_.version },
      components: { securitySchemes: SCHEMES },
      security,
    },
  })
  addAll(app)
  await app.ready()
  const described = JSON.stringify(app.swagger(), undefined, 2)
  await app.close()
  return `${described}\n`
}
