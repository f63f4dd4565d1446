// Records of an archive that is not this device's own, or that no device reads: with tickets that somebody hands over. A
// restore worker and a pushed restore read through this.
import type { Agent } from 'node:https'
import { fault as protocolFault } from '#protocol/errors.ts'
import { isFault } from '#protocol/fault.ts'
import { BYTES_TYPE, Snapshots, STORAGE_PATHS } from '#protocol/storage-api.ts'
import { TICKET_SCHEME } from '#protocol/ticket.ts'
import type { Request } from '#site/open-request.ts'
import { readEach } from '#site/read.ts'
import { createRecordMemory } from '#site/record-memory.ts'
import { send, sendForJson, sendRepeatedly } from '#site/request.ts'
import type { RecordSource } from './record-source.ts'

/** A ticket is renewed so long before it ends. */
const TICKET_MARGIN_MS = 30_000
/** A list of half a million snapshots. */
const SNAPSHOTS_BYTES_MAX = 64 * 1024 * 1024

export type Ticketed = {
  readonly archive: string
  /** https://host:port of the storage node. */
  readonly storage: string
  /** With the certificate that the tickets are bound to; it stays the caller's, to end. */
  readonly agent: Agent
  /** Asks for a ticket, good for this archive, the verb `restore` and that certificate. */
  readonly askTicket: () => Promise<{ readonly ticket: string; readonly expires_in_ms: number }>
  readonly signal?: AbortSignal | undefined
}

/** Nothing is sent yet. */
export function createTicketedSource({ archive, storage, agent, askTicket, signal }: Ticketed): RecordSource {
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
            path: request.path.replace(':archive', archive),
            origin: storage,
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
    archive,
    async snapshots() {
      const { snapshots } = await ask({ method: 'GET', path: STORAGE_PATHS.snapshots }, request => sendForJson(Snapshots, request, SNAPSHOTS_BYTES_MAX))
      return snapshots.toSorted((a, b) => a.sequence - b.sequence)
    },
    read: (ids, onRecord) =>
      readEach(ids, some => ask({ method: 'POST', path: STORAGE_PATHS.read, pieces: [some], headers: { accept: BYTES_TYPE } }, send), memory, onRecord, signal),
    // Only who backs up may ask this.
    missing: () => Promise.reject(protocolFault('TICKET_NOT_FOR_THIS')),
    async close() {},
  }
}
