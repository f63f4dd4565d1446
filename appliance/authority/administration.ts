// Administration over HTTPS: the paths of the admin socket, for administrators of the site. Each request carries name and
// password (HTTP Basic, RFC 7617), so there is no session to steal; that somebody asked, and for what, is in the audit log
// before it is done.
import type { Server } from 'node:https'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ADMINISTRATION } from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { type AdminParts, addAdminRoutes } from './admin-api.ts'
import type { Audit } from './audit.ts'
import { addMachineRoutes } from './machine.ts'

/** The parts of administration over the network; machine: the folder of the sockets of the firmware's services, if there is one. */
export type AdministrationParts = AdminParts & { readonly audit: Audit; readonly machine: string | undefined }

/** Adds the paths, in a scope of their own. */
export function registerAdministration(app: FastifyInstance<Server>, parts: AdministrationParts): void {
  void app.register(async (scope: FastifyInstance<Server>) => addAdministration(scope, parts), { prefix: ADMINISTRATION })
}

function addAdministration(scope: FastifyInstance<Server>, parts: AdministrationParts): void {
  scope.addHook('onRequest', async request => {
    const { name, password } = signInOf(request)
    await parts.administrators.checkOfSite(name, password)
    if (request.method !== 'GET') await parts.audit.record({ act: 'administration', who: name, facts: { path: request.routeOptions.url ?? '' } })
  })
  addAdminRoutes(scope, parts)
  addMachineRoutes(scope, parts.machine)
}

/** @throws SIGN_IN_REQUIRED */
function signInOf(request: FastifyRequest): { name: string; password: string } {
  const [, encoded] = /^Basic ([A-Za-z0-9+/]+={0,2})$/.exec(request.headers.authorization ?? '') ?? []
  const [, name, password] = /^([^:]{1,64}):([^]+)$/.exec(Buffer.from((encoded ?? '').slice(0, JSON_BYTES_MAX), 'base64').toString('utf8')) ?? []
  if (name === undefined || password === undefined) throw fault('SIGN_IN_REQUIRED')
  return { name, password }
}
