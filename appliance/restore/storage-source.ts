// Records from the storage node, as an agent reads them (agent/site), but with tickets that the authority hands over: the
// worker has no connection to it.
import { Agent } from 'node:https'
import { createSecureContext } from 'node:tls'
import { fault as protocolFault } from '#protocol/errors.ts'
import { isFault } from '#protocol/fault.ts'
import { BYTES_TYPE, Snapshots, STORAGE_PATHS } from '#protocol/storage-api.ts'
import { TICKET_SCHEME } from '#protocol/ticket.ts'
import type { RecordSource } from '#restore/record-source.ts'
import type { Request } from '#site/open-request.ts'
import { readEach } from '#site/read.ts'
import { createRecordMemory } from '#site/record-memory.ts'
import { send, sendForJson, sendRepeatedly } from '#site/request.ts'
import type { Order, TicketAnswer } from './messages.ts'

/** A ticket is renewed so long before it ends. */
const TICKET_MARGIN_MS = 30_000
const CONNECTIONS_MAX = 4
/** A list of half a million snapshots. */
const SNAPSHOTS_BYTES_MAX = 64 * 1024 * 1024

/**
 * Opens the connection; nothing is sent yet.
 *
 * @param clientKey  of the order's certificate, in PEM; not looked at any more when this returns
 * @param askTicket  asks for a ticket, good for this archive, the verb `restore` and this certificate
 */
export function openStorageSource(order: Order, clientKey: Buffer, askTicket: () => Promise<TicketAnswer>, signal: AbortSignal): RecordSource {
  const secureContext = createSecureContext({ minVersion: 'TLSv1.3', ca: order.ca, cert: order.certificate, key: clientKey })
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX, secureContext })
  const memory = createRecordMemory()
  let ticket: { text: string; until_ms: number } | undefined
  let asking: Promise<string> | undefined

  const fetchTicket = async (): Promise<string> => {
    const asked_ms = performance.now()
    const answer = await askTicket()
    ticket = { text: answer.ticket, until_ms: asked_ms + answer.expires_in_ms - TICKET_MARGIN_MS }
    return answer.ticket
  }
  const currentTicket = (): Promise<string> => {
    if (ticket && performance.now() < ticket.until_ms) return Promise.resolve(ticket.text)
    asking ??= fetchTicket().finally(() => {
      asking = undefined
    })
    return asking
  }
  const ask = <Answer>(request: Pick<Request, 'method' | 'path' | 'pieces' | 'headers'>, act: (request: Request) => Promise<Answer>): Promise<Answer> =>
    sendRepeatedly(
      async () => {
        const attempt = async (): Promise<Answer> =>
          act({
            ...request,
            path: request.path.replace(':archive', order.archive),
            origin: order.storage,
            agent,
            signal,
            headers: { ...request.headers, authorization: `${TICKET_SCHEME} ${await currentTicket()}` },
          })
        try {
          return await attempt()
        } catch (error) {
          if (!isFault(error, 'TICKET_EXPIRED')) throw error
          ticket = undefined
          return attempt()
        }
      },
      { signal },
    )

  return {
    archive: order.archive,
    async snapshots() {
      const { snapshots } = await ask({ method: 'GET', path: STORAGE_PATHS.snapshots }, request => sendForJson(Snapshots, request, SNAPSHOTS_BYTES_MAX))
      return snapshots.toSorted((a, b) => a.sequence - b.sequence)
    },
    read: (ids, onRecord) =>
      readEach(ids, some => ask({ method: 'POST', path: STORAGE_PATHS.read, pieces: [some], headers: { accept: BYTES_TYPE } }, send), memory, onRecord, signal),
    // Only who backs up may ask this.
    missing: () => Promise.reject(protocolFault('TICKET_NOT_FOR_THIS')),
    async close() {
      agent.destroy()
    },
  }
}
