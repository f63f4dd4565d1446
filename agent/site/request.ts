// One HTTPS request to one of the site's servers, with everything bounded. Answers are checked before they are used.
import type { ClientRequest, IncomingMessage } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { faultFromAnswer } from '#protocol/errors.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { Check, type Static, type TSchema } from '#protocol/typebox.js'
import { withBothClocks } from './clocks.ts'
import { fault } from './errors.ts'
import { piecesOf, type Request, requestOf } from './open-request.ts'

/** No byte in either direction for so long ends a request. */
const SILENCE_MS = 60_000
/** Of a request's body, so much is handed to the connection before the first of it is on its way. */
const AHEAD_BYTES_MAX = 512 * 1024
/** A broken connection is tried so often, with pauses that double: 0.5, 1, 2 and 4 seconds. */
const TRIES_MAX = 5
const PAUSE_MS = 250

/** Sends a request; an answer of 400 or more is thrown as the fault that it says. */
export async function send(request: Request): Promise<IncomingMessage> {
  const answer = await sendOnce(request).catch(async (error: unknown) => {
    throw await withBothClocks(error, request.origin)
  })
  if ((answer.statusCode ?? 500) < 400) return answer
  throw faultFromAnswer(parseJson((await readAll(answer, JSON_BYTES_MAX)).toString('utf8')))
}

export type Repeating = {
  readonly signal?: AbortSignal | undefined
  /** Whether it makes sense to try again at all. */
  readonly isHopeful?: () => boolean
  /** Whether the last try made progress: then the count of tries begins anew. */
  readonly hasMoved?: () => boolean
}

/** Sends again on a broken connection, with growing pauses: only for requests that may be repeated. */
export async function sendRepeatedly<Answer>(attempt: () => Promise<Answer>, { signal, isHopeful, hasMoved }: Repeating): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (hasMoved?.() === true) tries = 1
      if (tries >= TRIES_MAX || (isHopeful?.() === false && !isFault(error, 'OVERLOADED')) || !isFault(error, 'UNREACHABLE', 'OVERLOADED', 'RECORD_CUT'))
        throw error
    }
    await pause(PAUSE_MS * 2 ** tries, undefined, signal ? { signal } : {}).catch((error: unknown) => {
      throw signal?.aborted ? signal.reason : error
    })
  }
}

/** A JSON answer of the agreed shape. */
export async function sendForJson<Schema extends TSchema>(schema: Schema, request: Request, bytes_max = JSON_BYTES_MAX): Promise<Static<Schema>> {
  const value = parseJson((await readAll(await send(request), bytes_max)).toString('utf8'))
  if (!Check(schema, value)) throw fault('ANSWER_INVALID', { found: `another shape from ${request.method} ${request.path}` })
  return value
}

/** A whole answer, at most so many bytes. */
export async function readAll(answer: IncomingMessage, bytes_max: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      bytes += part.length
      if (bytes > bytes_max) throw fault('ANSWER_INVALID', { expected: `at most ${bytes_max} bytes`, found: 'more' })
      parts.push(part)
    }
  } catch (error) {
    throw faultOfConnection(error)
  }
  return Buffer.concat(parts, bytes)
}

function sendOnce(asked: Request): Promise<IncomingMessage> {
  const { origin, signal } = asked
  const pieces = piecesOf(asked)
  const request = requestOf(
    asked,
    pieces.reduce((sum, piece) => sum + piece.length, 0),
  )
  return new Promise((resolve, reject) => {
    let answered: IncomingMessage | undefined
    request.setTimeout(SILENCE_MS)
    request.on('response', answer => {
      answered = answer
      resolve(answer)
    })
    request.on('timeout', () => {
      // Bytes that wait for us are no silence of theirs.
      if (answered && answered.readableLength > 0) request.setTimeout(SILENCE_MS)
      else request.destroy(fault('UNREACHABLE', { found: `nothing from ${origin} for ${SILENCE_MS / 1000} s` }))
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (signal?.aborted) reject(signal.reason as Error)
      // A kept connection that the other side had closed meanwhile says nothing about whether it can be reached.
      else if (!answered && request.reusedSocket && error.code === 'ECONNRESET') resolve(sendOnce(asked))
      else reject(faultOfConnection(error, origin))
    })
    writeAll(request, pieces)
  })
}

/**
 * Writes pieces as the connection takes them, a few ahead, because each answer may come a turn of the event loop later, and
 * ends the request. By the callbacks, because a request on a connection that was kept does not say 'drain' every time.
 */
function writeAll(request: ClientRequest, pieces: readonly Uint8Array[]): void {
  let next = 0
  let ahead_bytes = 0
  const writeOn = (): void => {
    while (next < pieces.length - 1 && ahead_bytes < AHEAD_BYTES_MAX) {
      const piece = pieces[next++] as Uint8Array
      ahead_bytes += piece.length
      request.write(piece, error => {
        ahead_bytes -= piece.length
        if (!error) writeOn()
      })
    }
    if (next === pieces.length - 1 || pieces.length === 0) {
      request.end(pieces[next])
      next = pieces.length
    }
  }
  writeOn()
}

const CLOCK_CODES = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'])
const TRUST_CODES = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_ISSUER_CERT',
  'CERT_SIGNATURE_FAILURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

/** What a failed connection means for a person; faults stay as they are. */
export function faultOfConnection(error: unknown, origin = 'the appliance'): Error {
  if (error instanceof Fault) return error
  const { code = '', message } = (error instanceof Error ? error : new Error(String(error))) as NodeJS.ErrnoException
  // The other side refuses our certificate for its time: an alert that each version of OpenSSL names otherwise.
  if (CLOCK_CODES.has(code) || /ALERT_CERTIFICATE_EXPIRED/.test(code)) return fault('CLOCK_WRONG', { found: code, cause: error })
  if (TRUST_CODES.has(code)) return fault('SITE_UNTRUSTED', { found: `${origin}: ${code}`, cause: error })
  return fault('UNREACHABLE', { found: `${origin}: ${code || message}`, cause: error })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
