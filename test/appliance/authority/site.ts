// A site in a folder of its own, with its authority running in this process, and what a test does with it again and again.
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type OpenAuthority, openAuthority, type RunningAuthority, startAuthority } from '#authority/authority.ts'
import { initHome } from '#authority/home.ts'
import { parsePairingLink } from '#protocol/pairing-link.ts'
import { createDeviceKey } from '#site/certificate-request.ts'
import type { Identity } from '#site/identity.ts'
import { fetchCa, pairDevice } from '#site/pairing.ts'

export const PASSWORD = 'correct horse battery'
export const HOUR_MS = 3_600_000

export type Site = {
  readonly home: string
  readonly clock: { offset_ms: number }
  readonly authority: RunningAuthority
  link(user?: string): Promise<string>
  close(): Promise<void>
}
export type Device = { readonly identity: Identity; readonly key: Buffer; readonly agent: Agent }

export const freePort = (): Promise<number> =>
  new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })

/** Asks the admin API; an error answer is thrown with its code. */
export async function ask(authority: OpenAuthority, method: 'GET' | 'POST', url: string, body?: object): Promise<Record<string, unknown>> {
  const answer = await authority.admin.inject({ method, url, ...(body ? { payload: body } : {}) })
  const value = answer.json<Record<string, unknown>>()
  if (answer.statusCode >= 400) throw Object.assign(new Error(String(value['message'])), { code: value['code'] })
  return value
}

/** Runs something with the authority of a home that does not run. */
export async function withAuthority<Result>(home: string, act: (authority: OpenAuthority) => Promise<Result>, now: () => number = Date.now): Promise<Result> {
  const authority = await openAuthority(home, { version: '0', now })
  try {
    return await act(authority)
  } finally {
    await authority.close()
  }
}

export async function makeHome(): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-authority-'))
  await initHome(home, { listen: '127.0.0.1', authority_port: await freePort(), storage_port: await freePort() }, undefined, Date.now())
  await withAuthority(home, authority => ask(authority, 'POST', '/users', { user: 'ann', password: PASSWORD, tenant: 'default' }))
  return home
}

export async function startSite(): Promise<Site> {
  const home = await makeHome()
  const clock = { offset_ms: 0 }
  const now = (): number => Date.now() + clock.offset_ms
  let authority = await startAuthority(home, { version: '0', now })
  return {
    home,
    clock,
    get authority() {
      return authority
    },
    // Links are asked for as the command does while the appliance does not run: that is the other way in.
    async link(user = 'ann') {
      await authority.close()
      const { link } = await withAuthority(home, open => ask(open, 'POST', '/links', { user }), now)
      authority = await startAuthority(home, { version: '0', now })
      return String(link)
    },
    async close() {
      await authority.close()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

export async function pair(text: string, password = PASSWORD): Promise<Device> {
  const link = parsePairingLink(text)
  const ca = await fetchCa(link)
  const { privateKey, request } = createDeviceKey()
  const { identity } = await pairDevice(
    link,
    ca,
    { code: link.code, password, csr: request, hostname: 'host', platform: 'test', agent_version: '0' },
    privateKey,
  )
  return { identity, key: privateKey, agent: new Agent({ ca, cert: identity.certificate, key: privateKey, minVersion: 'TLSv1.3' }) }
}
