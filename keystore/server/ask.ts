// One request to a server that we run: what setting it up, unsealing and looking at it need. What the authority does goes
// through the client's transport, never through this.
import { request } from 'node:https'
import { Check, type Static, type TSchema } from '#protocol/typebox.js'
import { fault } from './errors.ts'

const TIMEOUT_MS = 15_000
const ANSWER_BYTES_MAX = 1024 * 1024

/** Who asks: the CA of the servers, and the own certificate and key, in PEM. */
export type Caller = { readonly ca: string; readonly certificate: string; readonly key: string }
export type Question = {
  readonly method: 'GET' | 'PUT' | 'DELETE'
  /** After /v1/. */
  readonly path: string
  readonly body?: Readonly<Record<string, unknown>>
  readonly token?: string
}
/** A status of 0 means that nobody answered. */
export type Answer = { readonly status: number; readonly body: unknown }

export type Asker = {
  readonly address: string
  /** Asks once; a server that does not answer is an answer too. */
  ask(question: Question): Promise<Answer>
  /**
   * Asks for an answer of this shape.
   *
   * @throws KEYSTORE_SERVER_FAILED any other answer, or none; what was answered is not shown: it can hold shares and tokens
   */
  askFor<Schema extends TSchema>(schema: Schema, question: Question): Promise<Static<Schema>>
}

/** Asks the server at this address (https://host:port). */
export function createAsker(address: string, caller: Caller): Asker {
  return {
    address,
    ask: question => ask(address, caller, question),
    async askFor(schema, question) {
      const { status, body } = await ask(address, caller, question)
      if (status === 200 && Check(schema, body)) return body
      const found = status === 0 ? 'no answer' : status === 200 ? 'an answer of another shape' : `${status}${reasonOf(body)}`
      throw fault('KEYSTORE_SERVER_FAILED', { expected: `an answer of ${address} to ${question.method} ${question.path}`, found })
    },
  }
}

function ask(address: string, caller: Caller, { method, path, body, token }: Question): Promise<Answer> {
  const { hostname, port } = new URL(address)
  const text = body === undefined ? '' : JSON.stringify(body)
  return new Promise(resolve => {
    const nobody = (): void => resolve({ status: 0, body: undefined })
    const asked = request({
      hostname,
      port,
      method,
      path: `/v1/${path}`,
      agent: false,
      minVersion: 'TLSv1.3',
      ca: caller.ca,
      cert: caller.certificate,
      key: caller.key,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { 'content-length': Buffer.byteLength(text), ...(token === undefined ? {} : { 'x-vault-token': token }) },
    })
    asked.on('error', nobody)
    asked.on('response', answer => {
      const parts: Buffer[] = []
      let bytes = 0
      answer.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes > ANSWER_BYTES_MAX) answer.destroy(new Error('too long'))
        else parts.push(part)
      })
      answer.on('error', nobody)
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: parsed(Buffer.concat(parts).toString('utf8')) }))
    })
    asked.end(text)
  })
}

/** What the server says of a refusal. */
function reasonOf(body: unknown): string {
  const errors: unknown = typeof body === 'object' && body !== null && 'errors' in body ? body.errors : undefined
  return Array.isArray(errors) && typeof errors[0] === 'string' ? ` ${errors[0].slice(0, 200).replace(/[^\x20-\x7e]+/g, ' ')}` : ''
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
