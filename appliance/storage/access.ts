// Who may do what, checked before a byte of a body is read: the connection's certificate, the list of devices that are
// out, then the ticket. A device that is deauthorized is refused on connections that were open before, too.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { fault } from '#protocol/errors.ts'
import type { Deauthorized } from '#protocol/storage-api.ts'
import type { DeauthorizedDevices } from './deauthorized.ts'
import { peerOf } from './peer.ts'
import type { Access } from './routes.ts'
import type { Tickets } from './tickets.ts'

export type AccessControl = {
  /** Admits a request, or throws why not. */
  admit(request: IncomingMessage, response: ServerResponse, access: Access | undefined, archive: string | undefined): Promise<void>
  /** Ends what a device has under way. */
  cutOff(entry: Deauthorized): void
  /** Refuses all that is new: the node is being stopped. */
  stop(): void
}

/** @param authority_thumbprint  of the authority's own client certificate */
export function createAccessControl(tickets: Tickets, deauthorized: DeauthorizedDevices, authority_thumbprint: string): AccessControl {
  const underWay = new Map<ServerResponse, { socket: Socket; thumbprint: string; device: string | undefined }>()
  let isStopping = false

  return {
    async admit(request, response, access, archive) {
      if (isStopping) {
        response.setHeader('connection', 'close')
        throw fault('OVERLOADED', { found: 'a storage node that is being stopped' })
      }
      const { socket } = request
      const peer = peerOf(socket)
      if (!peer) throw fault('CERTIFICATE_REQUIRED')
      const { thumbprint } = peer
      if (deauthorized.hasThumbprint(thumbprint)) throw fault('DEVICE_DEAUTHORIZED')
      if (access === undefined || access === 'certificate') return
      if (access === 'authority') {
        if (thumbprint !== authority_thumbprint) throw fault('CERTIFICATE_REQUIRED', { expected: "the authority's certificate", found: 'another' })
        return
      }
      const claims = await tickets.check(request.headers.authorization, thumbprint)
      if (deauthorized.hasDevice(claims.sub) || deauthorized.hasThumbprint(thumbprint)) throw fault('DEVICE_DEAUTHORIZED')
      if (claims.archive !== archive) throw fault('TICKET_NOT_FOR_THIS', { expected: `archive ${claims.archive}`, found: 'another archive' })
      if (!claims.verbs.some(verb => access.includes(verb))) {
        throw fault('TICKET_NOT_FOR_THIS', { expected: `the verb ${access.join(' or ')}`, found: claims.verbs.join(', ') })
      }
      underWay.set(response, { socket, thumbprint, device: claims.sub })
      response.once('close', () => underWay.delete(response))
    },
    cutOff({ device, thumbprints }) {
      for (const one of underWay.values()) if (one.device === device || thumbprints.includes(one.thumbprint)) one.socket.destroy()
    },
    stop() {
      isStopping = true
    },
  }
}
