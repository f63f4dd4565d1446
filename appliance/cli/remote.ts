// A state directory that leads to an appliance on another machine: remote.json in it says where, and which CA it has. No
// secret is in it; the password of the site's administrator is asked for, and sent with each request.
import { createHash, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request as plainRequest } from 'node:http'
import { Agent, type RequestOptions, request } from 'node:https'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Check } from 'typebox/value'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { AUTHORITY_PATHS, Ca } from '#protocol/authority-api.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { Name, Pem } from '#protocol/names.ts'
import { fault } from './errors.ts'

const Remote = Type.Object({
  version: Type.Literal(1),
  /** https://host:port of the authority. */
  url: Type.String({ maxLength: 300, pattern: '^https://[^/]+$' }),
  ca: Pem,
  administrator: Name,
})
export type Remote = Static<typeof Remote>

const SILENCE_MS = 120_000
const fileOf = (home: string): string => join(home, 'remote.json')

/** Where a directory leads; undefined if the appliance is in it. @throws CONNECTION_INVALID */
export function readRemote(home: string): Remote | undefined {
  if (!existsSync(fileOf(home))) return undefined
  try {
    const value: unknown = JSON.parse(readFileSync(fileOf(home), 'utf8'))
    if (Check(Remote, value)) return value
  } catch {
    // Said below.
  }
  throw fault('CONNECTION_INVALID', { found: fileOf(home) })
}

/** Keeps where an appliance is. */
export function writeRemote(home: string, remote: Remote): void {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  writeFileSync(fileOf(home), `${JSON.stringify(remote)}\n`, { mode: 0o600 })
}

export const forgetRemote = (home: string): void => rmSync(fileOf(home), { force: true })

/**
 * The CA of the appliance at an address, which must be the one with this hash. Whoever answers is not believed until then.
 *
 * @param sha256  base64url, as the set-up and the screen of the appliance show it
 * @throws APPLIANCE_UNREACHABLE, APPLIANCE_UNTRUSTED
 */
export async function fetchCa(url: string, sha256: string): Promise<string> {
  const agent = new Agent({ minVersion: 'TLSv1.3', rejectUnauthorized: false })
  const answer = await send(url, { agent, method: 'GET', path: AUTHORITY_PATHS.ca })
  const value: unknown = JSON.parse(await textOf(answer))
  const found = Check(Ca, value) ? createHash('sha256').update(new X509Certificate(value.ca).raw).digest('base64url') : 'no certificate'
  if (!Check(Ca, value) || found !== sha256) throw fault('APPLIANCE_UNTRUSTED', { expected: sha256, found })
  return value.ca
}

/** Sends a request as the administrator; the answer has begun. @throws APPLIANCE_UNREACHABLE, APPLIANCE_UNTRUSTED */
export function askRemote({ url, ca }: Remote, options: RequestOptions, body: Buffer | NodeJS.ReadableStream | undefined): Promise<IncomingMessage> {
  return send(url, { ...options, agent: new Agent({ minVersion: 'TLSv1.3', ca }) }, body)
}

const passwords = new Map<string, string>()

/** The header that says who asks. The password is read once. @throws PASSWORD_MISSING, FILE_UNUSABLE, INTERRUPTED */
export async function signInOf({ url, administrator }: Remote, frame: Frame): Promise<string> {
  const known = passwords.get(url) ?? (await readPassword(`Password of the administrator ${administrator}: `, frame.option('adminPasswordFile')))
  passwords.set(url, known)
  return `Basic ${Buffer.from(`${administrator}:${known}`).toString('base64')}`
}

/** All of a short answer. */
export async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > ANSWER_BYTES_MAX) throw fault('APPLIANCE_UNREACHABLE', { expected: `at most ${ANSWER_BYTES_MAX} bytes`, found: 'a longer answer' })
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** Lists of many devices are longer than what is sent. */
const ANSWER_BYTES_MAX = 64 * JSON_BYTES_MAX

function send(url: string, options: RequestOptions, body?: Buffer | NodeJS.ReadableStream): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { ...options, timeout: SILENCE_MS }, resolve)
    endWith(asked, body, reject)
  })
}

/** The same to a Unix socket of this machine. @throws the system's error */
export function askSocket(options: RequestOptions, body?: Buffer | NodeJS.ReadableStream): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = plainRequest(options, resolve)
    asked.on('error', reject)
    sendBody(asked, body)
  })
}

function endWith(asked: ReturnType<typeof request>, body: Buffer | NodeJS.ReadableStream | undefined, reject: (error: Error) => void): void {
  asked.on('timeout', () => asked.destroy(new Error('silence')))
  asked.on('error', (cause: NodeJS.ErrnoException) => {
    const code = cause.code ?? cause.message
    const isTrust = /CERT|SELF_SIGNED|ALTNAME|SIGNATURE/.test(code)
    reject(fault(isTrust ? 'APPLIANCE_UNTRUSTED' : 'APPLIANCE_UNREACHABLE', { found: code, cause }))
  })
  sendBody(asked, body)
}

function sendBody(asked: ReturnType<typeof request>, body: Buffer | NodeJS.ReadableStream | undefined): void {
  if (body === undefined || Buffer.isBuffer(body)) asked.end(body)
  else body.on('error', error => asked.destroy(error)).pipe(asked)
}
