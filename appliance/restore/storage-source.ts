// Records from the storage node for a restore worker: by a certificate that was made for this one restore, with tickets that
// the authority hands over, because the worker has no connection to it.
import { Agent } from 'node:https'
import { createSecureContext } from 'node:tls'
import type { RecordSource } from '#restore/record-source.ts'
import { createTicketedSource } from '#restore/ticketed-source.ts'
import type { Order, TicketAnswer } from './messages.ts'

const CONNECTIONS_MAX = 4

/**
 * Opens the connection; nothing is sent yet.
 *
 * @param clientKey  of the order's certificate, in PEM; not looked at any more when this returns
 * @param askTicket  asks for a ticket, good for this archive, the verb `restore` and this certificate
 */
export function openStorageSource(order: Order, clientKey: Buffer, askTicket: () => Promise<TicketAnswer>, signal: AbortSignal): RecordSource {
  const secureContext = createSecureContext({ minVersion: 'TLSv1.3', ca: order.ca, cert: order.certificate, key: clientKey })
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX, secureContext })
  const { archive, storage } = order
  return { ...createTicketedSource({ archive, storage, agent, askTicket, signal }), close: async () => agent.destroy() }
}
