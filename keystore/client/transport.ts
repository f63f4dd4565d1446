// One request to one node of the keystore. Invariants:
//   only the addresses of the connection file are ever spoken to: TLS 1.3, its CA, our client certificate; no redirect is
//   followed, no proxy used, nothing read from the environment;
//   path, size and time are bounded; a body is JSON or nothing;
//   no error holds a token, a header or a body;
//   an answer that holds an opened key stays bytes, and every copy that we can reach of what the connection read is wiped.
import { constants } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { Fault } from '#protocol/fault.ts'
import type { Access } from './connection.ts'
import { fault } from './errors.ts'
import { REQUEST_HEADER } from './names.ts'
import { checkedPath } from './path.ts'
import { overwriteStack } from './stack.ts'

export const ANSWER_MS = 10_000
export const ANSWER_BYTES_MAX = 1024 * 1024
/** Connections to each node; more requests wait for one of them. */
const CONNECTIONS_MAX = 16
/** OpenSSL 3: records are wiped inside the library as soon as they were handed over. The runtime does not name it. */
const SSL_OP_CLEANSE_PLAINTEXT = 0x2

export type Method = 'GET' | 'LIST' | 'POST' | 'PATCH' | 'DELETE'

export type Asked = {
  /** One of the connection's addresses. */
  readonly address: string
  readonly method: Method
  /** Below /v1/. */
  readonly path: string
  readonly token?: string | undefined
  /** The act of ours that it belongs to, for the keystore's audit log. */
  readonly act?: string | undefined
  readonly body?: object | undefined
  /** From the begin of a connection, or its being free, to the last byte of the answer; ANSWER_MS at most. */
  readonly timeout_ms?: number | undefined
  /** An answer of 200 is given as bytes, the caller's to wipe, and never becomes a string. */
  readonly isSecret?: boolean | undefined
}

export type Answered = {
  readonly status: number
  /** Parsed JSON; undefined if there was none; a Buffer if a secret was asked for and given. */
  readonly body: unknown
  /** The clock of whoever answered, to the second. */
  readonly date_ms?: number | undefined
}

export type Transport = {
  readonly addresses: readonly string[]
  /**
   * Sends once. Answers of every status are given back; only what prevents an answer is thrown.
   *
   * @throws KEYSTORE_UNREACHABLE, KEYSTORE_UNTRUSTED, KEYSTORE_ANSWER_INVALID, KEYSTORE_NAME_INVALID
   */
  send(asked: Asked): Promise<Answered>
  /** Ends all connections, also those in use. */
  close(): void
}

/** Makes a transport; nothing is sent yet. */
export function createTransport({ addresses, ca, certificate, key }: Access): Transport {
  const agent = new Agent({
    ca,
    cert: certificate,
    key,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: true,
    secureOptions: SSL_OP_CLEANSE_PLAINTEXT | constants.SSL_OP_NO_TICKET,
    maxCachedSessions: 0,
    keepAlive: true,
    maxSockets: CONNECTIONS_MAX,
  })
  const hosts = new Set(addresses)
  return {
    addresses,
    async send(asked) {
      if (!hosts.has(asked.address)) throw fault('KEYSTORE_NAME_INVALID', { expected: 'an address of the connection file', found: asked.address.slice(0, 100) })
      const url = `${asked.address}/v1/${checkedPath(asked.path)}`
      const { status, headers, bytes } = await exchange(agent, url, asked)
      if (asked.isSecret === true && status === 200) return { status, body: bytes }
      try {
        return { status, body: parseBody(bytes, status, headers['content-type'], asked.address), date_ms: dateOf(headers.date) }
      } finally {
        bytes.fill(0)
      }
    },
    close: () => agent.destroy(),
  }
}

type Raw = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly bytes: Buffer }

function exchange(agent: Agent, url: string, asked: Asked): Promise<Raw> {
  const { address, method, token, act, body, timeout_ms = ANSWER_MS } = asked
  const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, {
      agent,
      method,
      headers: {
        accept: 'application/json',
        ...(token === undefined ? {} : { 'x-vault-token': token }),
        ...(act === undefined ? {} : { [REQUEST_HEADER]: act }),
        ...(sent === undefined
          ? {}
          : { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json', 'content-length': sent.length }),
      },
    })
    let timer: NodeJS.Timeout | undefined
    const late = (): void => void request.destroy(fault('KEYSTORE_UNREACHABLE', { found: `${address}: no answer within ${timeout_ms / 1000} s` }))
    // Not before a connection is its own: waiting for one of ours says nothing about the node.
    request.once('socket', () => {
      timer = setTimeout(late, Math.min(timeout_ms, ANSWER_MS))
    })
    const wipe = asked.isSecret === true ? wipeReads(request) : undefined
    const fail = (error: Error): void => {
      clearTimeout(timer)
      wipe?.()
      reject(faultOfConnection(error, address))
    }
    request.on('error', fail)
    request.on('response', answer => {
      const parts: Buffer[] = []
      let length = 0
      answer.on('data', (part: Buffer) => {
        parts.push(part)
        length += part.length
        if (length > ANSWER_BYTES_MAX)
          request.destroy(fault('KEYSTORE_ANSWER_INVALID', { expected: `at most ${ANSWER_BYTES_MAX} bytes`, found: `more from ${address}` }))
      })
      answer.on('error', fail)
      answer.on('end', () => {
        clearTimeout(timer)
        const bytes = Buffer.alloc(length)
        let at = 0
        for (const part of parts) {
          at += part.copy(bytes, at)
          part.fill(0)
        }
        const raw = { status: answer.statusCode ?? 0, headers: answer.headers, bytes }
        if (!wipe) return resolve(raw)
        wipe()
        setImmediate(() => {
          overwriteStack()
          resolve(raw)
        })
      })
    })
    request.end(sent)
  })
}

/** Remembers what the connection reads for this request, below HTTP, to be wiped when the answer is whole. */
function wipeReads(request: ReturnType<typeof httpsRequest>): () => void {
  const read: Buffer[] = []
  let socket: Socket | undefined
  const keep = (part: Buffer): void => void read.push(part)
  request.once('socket', used => {
    socket = used
    used.on('data', keep)
  })
  return () => {
    socket?.off('data', keep)
    for (const part of read) part.fill(0)
  }
}

function dateOf(text: string | undefined): number | undefined {
  const date_ms = Date.parse(text ?? '')
  return Number.isNaN(date_ms) ? undefined : date_ms
}

function parseBody(bytes: Buffer, status: number, type: string | undefined, address: string): unknown {
  const isJson = bytes.length > 0 && /^application\/json\b/.test(type ?? '')
  if (isJson) {
    try {
      return JSON.parse(bytes.toString('utf8')) as unknown
    } catch {}
  }
  // A redirect or a failure may come from something that is no keystore; a success that does not read is none.
  if (status >= 300 || bytes.length === 0) return undefined
  throw fault('KEYSTORE_ANSWER_INVALID', { expected: 'JSON', found: `something else from ${address}` })
}

const TRUST_CODES = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_ISSUER_CERT',
  'CERT_SIGNATURE_FAILURE',
  'CERT_NOT_YET_VALID',
  'CERT_HAS_EXPIRED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

/** The code of an error says enough; the error itself is dropped. */
function faultOfConnection(error: Error, address: string): Error {
  if (error instanceof Fault) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'the connection broke'
  return fault(TRUST_CODES.has(code) ? 'KEYSTORE_UNTRUSTED' : 'KEYSTORE_UNREACHABLE', { found: `${address}: ${code}` })
}
