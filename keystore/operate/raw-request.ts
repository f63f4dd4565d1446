// A request whose body or answer is a stream: snapshots, which are as long as the keystore's data. As strict as the client's
// transport: only the addresses of the access file, TLS 1.3, their CA, our certificate; no redirects, no proxy. And the one
// look at a node's certificate.
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { connect, type PeerCertificate } from 'node:tls'
import type { Access } from '#keystore-client/connection.ts'
import { fault as clientFault } from '#keystore-client/errors.ts'
import { checkedPath } from '#keystore-client/path.ts'

/** Without a byte either way. */
const SILENT_MS = 60_000
const CONNECT_MS = 5_000

export type RawAsked = {
  readonly address: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly token: string
  readonly body?: Readable
  readonly signal?: AbortSignal | undefined
}

/** Sends once; the answer's body is the caller's to read or destroy. @throws KEYSTORE_UNREACHABLE, KEYSTORE_NAME_INVALID */
export async function rawRequest(access: Access, { address, method, path, token, body, signal }: RawAsked): Promise<IncomingMessage> {
  if (!access.addresses.includes(address))
    throw clientFault('KEYSTORE_NAME_INVALID', { expected: 'an address of the access file', found: address.slice(0, 100) })
  const request = httpsRequest(`${address}/v1/${checkedPath(path)}`, {
    method,
    agent: false,
    ca: access.ca,
    cert: access.certificate,
    key: access.key,
    minVersion: 'TLSv1.3',
    headers: { 'x-vault-token': token },
    timeout: SILENT_MS,
    signal,
  })
  request.on('timeout', () => request.destroy(clientFault('KEYSTORE_UNREACHABLE', { found: `${address}: silent for ${SILENT_MS / 1000} s` })))
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === undefined ? error : clientFault('KEYSTORE_UNREACHABLE', { found: `${address}: ${error.code}` })),
    )
  })
  answered.catch(() => {})
  if (body) await pipeline(body, request).catch(() => {})
  else request.end()
  return answered
}

/** When a node's certificate ends. @returns undefined if it does not answer, or is not trusted */
export function certificateEnd(access: Access, address: string): Promise<number | undefined> {
  const { hostname, port } = new URL(address)
  return new Promise(resolve => {
    const socket = connect({
      host: hostname,
      port: Number(port),
      ca: access.ca,
      cert: access.certificate,
      key: access.key,
      minVersion: 'TLSv1.3',
      timeout: CONNECT_MS,
    })
    const end = (at_ms: number | undefined): void => {
      socket.destroy()
      resolve(at_ms)
    }
    socket.once('secureConnect', () => end(Date.parse((socket.getPeerCertificate() as PeerCertificate).valid_to)))
    socket.once('timeout', () => end(undefined))
    socket.once('error', () => end(undefined))
  })
}
