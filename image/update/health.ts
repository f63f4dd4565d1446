// Whether a release does its work: what decides on trial whether it is kept. It asks as an agent would, over TLS and with
// a ticket, so that nothing between the network and the disk is left out.
import { createHash, createPrivateKey, sign, X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import Type from 'typebox'
import { Check } from 'typebox/value'
import { AUTHORITY_PATHS } from '#protocol/authority-api.ts'
import { isFault } from '#protocol/fault.ts'
import { JSON_BYTES_MAX, TICKET_MS } from '#protocol/limits.ts'
import { ArchiveState, Health, STORAGE_PATHS } from '#protocol/storage-api.ts'
import { TICKET_AUDIENCE, TICKET_ISSUER, TICKET_SCHEME, TICKET_TYPE } from '#protocol/ticket.ts'
import { Check as CheckShape, type TSchema } from '#protocol/typebox.js'
import { fault } from './errors.ts'

const AGAIN_MS = 1_000
const ANSWER_MS = 15_000
const SETUP_PORT = 443
const ARCHIVE_NAME = /^[0-9a-f]{32}$/
/** No device has this id. */
const NOBODY = '0'.repeat(32)

const Config = Type.Object({ listen: Type.String(), authority_port: Type.Integer(), storage_port: Type.Integer() })

/**
 * Waits until the appliance does its work.
 *
 * @param home   of the site
 * @throws NOT_HEALTHY  with what was missing last, when the time is over
 */
export async function waitUntilHealthy(home: string, healthy_ms: number): Promise<void> {
  const end_ms = performance.now() + healthy_ms
  for (;;) {
    try {
      await checkHealth(home)
      return
    } catch (error) {
      if (performance.now() + AGAIN_MS > end_ms) throw isFault(error) ? error : fault('NOT_HEALTHY', { cause: error })
    }
    await pause(AGAIN_MS)
  }
}

/** @throws NOT_HEALTHY unless storage node and authority answer and an archive opens, or set-up answers where there is no site */
export async function checkHealth(home: string, setup_port = SETUP_PORT): Promise<void> {
  if (!existsSync(join(home, 'config.json'))) {
    // Its certificate is of this machine's own making.
    await ask('set-up', new Agent({ rejectUnauthorized: false }), `https://127.0.0.1:${setup_port}/`)
    return
  }
  const config: unknown = JSON.parse(readFileSync(join(home, 'config.json'), 'utf8'))
  if (!Check(Config, config)) throw fault('NOT_HEALTHY', { expected: 'the configuration of the site', found: 'something else' })
  const file = (name: string): string => readFileSync(join(home, 'authority', name), 'utf8')
  const cert = file('client.pem')
  const agent = new Agent({ ca: file('ca.pem'), cert, key: file('client.key'), minVersion: 'TLSv1.3' })
  const host = ['::', '0.0.0.0'].includes(config.listen) ? '127.0.0.1' : config.listen
  const authority = `https://${host}:${config.authority_port}`
  const storage = `https://${host}:${config.storage_port}`
  try {
    shaped(Health, await ask('the authority', agent, authority + AUTHORITY_PATHS.health), 'the authority')
    shaped(Health, await ask('the storage node', agent, storage + STORAGE_PATHS.health), 'the storage node')
    const archive = readdirSync(join(home, 'storage/archives')).find(name => ARCHIVE_NAME.test(name))
    if (archive === undefined) return
    const authorization = `${TICKET_SCHEME} ${ticketFor(archive, cert, file('ticket.key'))}`
    shaped(ArchiveState, await ask('an archive', agent, storage + STORAGE_PATHS.archive.replace(':archive', archive), { authorization }), 'an archive')
  } finally {
    agent.destroy()
  }
}

function shaped(schema: TSchema, text: string, whose: string): void {
  if (!CheckShape(schema, JSON.parse(text))) throw fault('NOT_HEALTHY', { expected: `the answer of ${whose}`, found: 'something else' })
}

/** For this process's certificate, to read one archive. */
function ticketFor(archive: string, certificate: string, key: string): string {
  const now_s = Math.floor(Date.now() / 1000)
  const thumbprint = createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url')
  const claims = {
    iss: TICKET_ISSUER,
    aud: TICKET_AUDIENCE,
    iat: now_s,
    exp: now_s + TICKET_MS / 1000,
    sub: NOBODY,
    tenant: 'machine',
    archive,
    verbs: ['restore'],
    cnf: { 'x5t#S256': thumbprint },
  }
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encoded({ alg: 'EdDSA', typ: TICKET_TYPE })}.${encoded(claims)}`
  return `${signed}.${sign(null, Buffer.from(signed), createPrivateKey(key)).toString('base64url')}`
}

/** The text of an answer below 400. @throws NOT_HEALTHY */
function ask(whose: string, agent: Agent, url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const unwell = (found: string, cause?: unknown): void => reject(fault('NOT_HEALTHY', { expected: `an answer of ${whose}`, found, cause }))
    const asked = request(url, { agent, headers, timeout: ANSWER_MS }, answer => {
      const parts: Buffer[] = []
      let bytes = 0
      answer.on('data', (part: Buffer) => {
        parts.push(part)
        bytes += part.length
        if (bytes > JSON_BYTES_MAX) asked.destroy()
      })
      answer.on('error', error => unwell(error.message, error))
      answer.on('end', () => {
        if ((answer.statusCode ?? 500) < 400) resolve(Buffer.concat(parts).toString('utf8'))
        else unwell(`status ${answer.statusCode ?? 0}`)
      })
    })
    asked.on('timeout', () => asked.destroy(new Error(`nothing for ${ANSWER_MS / 1000} s`)))
    asked.on('error', error => unwell(error.message, error))
    asked.end()
  })
}
