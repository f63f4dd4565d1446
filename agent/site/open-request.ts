// The bare HTTPS request: method, headers and length, nothing sent yet.
import type { ClientRequest } from 'node:http'
import { type Agent, request as httpsRequest } from 'node:https'
import { BYTES_TYPE } from '#protocol/storage-api.ts'

export type Request = {
  /** https://host:port */
  readonly origin: string
  readonly agent: Agent
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** JSON, or pieces of bytes that are sent behind one another. */
  readonly body?: unknown
  readonly pieces?: readonly Uint8Array[]
  readonly signal?: AbortSignal | undefined
}

/** What a request sends, in order; nothing is copied. */
export const piecesOf = ({ body, pieces }: Request): readonly Uint8Array[] => (body === undefined ? (pieces ?? []) : [Buffer.from(JSON.stringify(body))])

/** A request that waits for its body and its end. */
export function requestOf(request: Request, length_bytes = 0): ClientRequest {
  const { origin, agent, method, path, headers, body, pieces, signal } = request
  return httpsRequest(`${origin}${path}`, {
    agent,
    method,
    ...(signal ? { signal } : {}),
    headers: {
      ...headers,
      ...(body !== undefined ? { 'content-type': 'application/json' } : pieces ? { 'content-type': BYTES_TYPE } : {}),
      ...(method === 'GET' ? {} : { 'content-length': length_bytes }),
    },
  })
}
