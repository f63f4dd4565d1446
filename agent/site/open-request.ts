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

/** So much is written at once: TLS has memory for all of that, and what is longer would be mapped and zeroed each time. */
const WRITE_BYTES_MAX = 96 * 1024

/** What a request sends, in order and in parts of at most WRITE_BYTES_MAX; nothing is copied. */
export function piecesOf({ body, pieces }: Request): readonly Uint8Array[] {
  const parts: Uint8Array[] = []
  for (const piece of body === undefined ? (pieces ?? []) : [Buffer.from(JSON.stringify(body))])
    for (let at = 0; at < piece.length; at += WRITE_BYTES_MAX) parts.push(piece.subarray(at, at + WRITE_BYTES_MAX))
  return parts
}

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
