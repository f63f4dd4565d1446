// Sets a machine up as a person would: the code and the fingerprint are read from its screen.

import { writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import type { Machine } from './machine.ts'

const SETUP_PORT = 443
const AUTHORITY_PORT = 7400
/** A first start in emulation, on a machine that has other things to do. */
const START_MS = 15 * 60_000
/** Of each kind, at another random moment each: every one costs a start. */
export const POWER_CUTS = Number(process.env['POWER_CUTS'] ?? 1)
export const ADMINISTRATOR = { name: 'ada', password: 'a long enough one' }

export type SiteAnswer = { readonly address: string; readonly ca_sha256: string; readonly recovery_key: string }
export type SetUpOptions = {
  /** What agents reach the appliance at. */
  readonly address?: string
  /** The connection file of a keystore, parsed. */
  readonly keystore?: object
}

/** Makes a site on a machine that shows its code; its ports 443 and 7400 are forwarded. Resolves when it is ready. */
export async function setUp(machine: Machine, { address = '127.0.0.1', keystore }: SetUpOptions = {}): Promise<SiteAnswer> {
  const { serial } = machine
  const fingerprint = (await serial.waitFor(/Fingerprint: ([0-9A-F:]{95})/, { timeout_ms: START_MS }))[1] ?? ''
  const code = (await serial.waitFor(/Code: ([A-Z0-9-]+)/))[1] ?? ''
  const settings = {
    address,
    administrator: ADMINISTRATOR,
    keystore: keystore ?? null,
    network: { version: 1, ipv4: { method: 'dhcp' }, ipv6: { method: 'auto' }, dns: [] },
    time: { version: 1, servers: [], zone: 'Europe/Berlin' },
  }
  const begun = await post(machine, fingerprint, '/api/begin', { code, settings })
  const { session, recovery_key } = begun as { session: string; recovery_key: string }
  // It may have been ready as another site.
  const from = serial.text.length
  const made = await post(machine, fingerprint, '/api/finish', { session, recovery_key_end: recovery_key.split('-').at(-1) })
  await serial.waitFor(/State: ready/, { from })
  return { ...(made as Omit<SiteAnswer, 'recovery_key'>), recovery_key }
}

/**
 * A folder with which commands of holdfast-appliance administer this machine; throws unless it can.
 *
 * @param at  where it is reached; by default the forwarded port, which is another one each time that it is powered on
 */
export async function connect(machine: Machine, site: SiteAnswer, folder: string, at = `127.0.0.1:${machine.port(AUTHORITY_PORT)}`): Promise<void> {
  const password = join(folder, 'administrator-password')
  writeFileSync(password, `${ADMINISTRATOR.password}\n`, { mode: 0o600 })
  const ended = await administer(folder, 'connect', at, '--ca-sha256', site.ca_sha256, '--as', ADMINISTRATOR.name)
  if (ended.code !== 0) throw new Error(`connect ended with ${ended.code}: ${ended.err}`)
}

/** A command of holdfast-appliance, for the machine that this folder is connected to. */
export const administer = (folder: string, ...parameters: string[]): Promise<Ended> =>
  holdfast([...parameters, '--json', '--home', join(folder, 'connected'), '--admin-password-file', join(folder, 'administrator-password')], {
    launcher: 'holdfast-appliance',
  })

function post(machine: Machine, fingerprint: string, path: string, body: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port: machine.port(SETUP_PORT),
        method: 'POST',
        path,
        agent: false,
        rejectUnauthorized: false,
        headers: { 'content-type': 'application/json' },
      },
      answer => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8')
          if (answer.statusCode === 200) resolve(JSON.parse(text))
          else reject(new Error(`${path} answered ${answer.statusCode}: ${text}`))
        })
      },
    )
    asked.on('socket', socket =>
      socket.once('secureConnect', () => {
        const found = (socket as TLSSocket).getPeerCertificate().fingerprint256
        if (found !== fingerprint) asked.destroy(new Error(`the screen shows ${fingerprint}, the server has ${found}`))
      }),
    )
    asked.on('error', reject)
    asked.end(JSON.stringify(body))
  })
}
