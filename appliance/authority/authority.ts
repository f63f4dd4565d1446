// The authority: knows people, devices and policy. One process, one home; its servers are agent-api.ts (for agents, over
// TLS) and admin-api.ts (for the owner, over a Unix socket).
import { rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { listeningFault } from '#protocol/listening.ts'
import { type AdminParts, createAdminApi } from './admin-api.ts'
import { registerAdministration } from './administration.ts'
import { createAdministrators } from './administrators.ts'
import { createAgentApi } from './agent-api.ts'
import { openAudit } from './audit.ts'
import { thumbprintOf } from './certificates.ts'
import { createDevices } from './devices.ts'
import { readHome, urlOf } from './home.ts'
import { openAuthorityEscrow } from './keystore-parts.ts'
import { createPairing } from './pairing.ts'
import { createPeople, DEFAULT_TENANT } from './people.ts'
import { createRestores } from './restores.ts'
import { openState } from './state.ts'
import { createStorageLink } from './storage-link.ts'

export type AuthorityOptions = {
  readonly version: string
  readonly now?: () => number
  /** On an appliance that is firmware, the folder of its services' sockets (machine.ts); its restore workers are services too. */
  readonly machine?: string | undefined
}
export type OpenAuthority = { readonly admin: FastifyInstance; close(): Promise<void> }
export type RunningAuthority = { readonly url: string; readonly storage_url: string; close(): Promise<void> }

export const adminSocketOf = (home: string): string => join(home, 'authority', 'admin.sock')

async function openParts(home: string, options: AuthorityOptions, isRunning: boolean) {
  const { config, ca, authority, client, ticketKey } = readHome(home)
  const now = options.now ?? Date.now
  const state = await openState(join(home, 'authority', 'state'))
  const auditFile = join(home, 'authority', 'audit.log')
  const audit = await openAudit(auditFile, now).catch(async (error: unknown) => {
    await state.close()
    throw error
  })
  const storage_url = urlOf(config.address ?? config.listen, config.storage_port)
  // On the same machine the storage node is asked at the address that it listens on.
  const storageHere = urlOf(config.listen === '0.0.0.0' || config.listen === '::' ? '127.0.0.1' : config.listen, config.storage_port)
  const storage = createStorageLink(state, storageHere, client, ca.certificate)
  const people = createPeople(state, audit, now)
  const escrow = config.keystore === 'none' ? undefined : await openAuthorityEscrow(home, state, audit, now, isRunning, config.slots_ready)
  const devices = createDevices(state, audit, storage, ticketKey, now)
  const pairing = createPairing(state, audit, ca, devices, escrow, now)
  const administrators = createAdministrators(state, audit, now)
  const restores = escrow && createRestores({ state, audit, keystore: escrow.keystore, devices, ca, storage_url: storageHere, now, machine: options.machine })
  if ((await people.tenants()).length === 0) await people.addTenant(DEFAULT_TENANT)
  const url = new URL(urlOf(config.address ?? config.listen, config.authority_port))
  const adminParts: AdminParts = {
    home,
    version: options.version,
    people,
    pairing,
    devices,
    auditFile,
    isRunning,
    escrow,
    administrators,
    restores,
    now,
    link: { host: url.hostname.replace(/^\[|\]$/g, ''), port: config.authority_port, ca_sha256: thumbprintOf(ca.certificate) },
    certificates: { 'site CA': ca.certificate, authority: authority.certificate, 'authority at the storage node': client.certificate },
  }
  return {
    config,
    authority,
    adminParts,
    administrationParts: { ...adminParts, audit, machine: options.machine },
    storage_url,
    agentParts: { version: options.version, ca: ca.certificate, storage_url, devices, pairing, escrow, administrators, restores, now },
    async close() {
      storage.close()
      await restores?.close()
      await escrow?.close()
      await audit.close()
      await state.close()
    },
  }
}

/**
 * The authority of a home without its servers, for commands while the appliance does not run.
 *
 * @throws SITE_MISSING, SITE_BUSY, STATE_NEWER, STATE_DAMAGED, AUDIT_BROKEN
 */
export async function openAuthority(home: string, options: AuthorityOptions): Promise<OpenAuthority> {
  const parts = await openParts(home, options, false)
  const admin = createAdminApi(parts.adminParts)
  return {
    admin,
    async close() {
      await admin.close()
      await parts.close()
    },
  }
}

/**
 * Starts both servers.
 *
 * @throws as openAuthority, and PORT_IN_USE, ADDRESS_UNUSABLE
 */
export async function startAuthority(home: string, options: AuthorityOptions): Promise<RunningAuthority> {
  const parts = await openParts(home, options, true)
  const admin = createAdminApi(parts.adminParts)
  const agents = createAgentApi(parts.authority, parts.agentParts)
  registerAdministration(agents, parts.administrationParts)
  const { listen: host, authority_port: port } = parts.config
  const close = async (): Promise<void> => {
    await Promise.all([agents.close(), admin.close()])
    await parts.close()
  }
  try {
    await agents.listen({ host, port })
    // The state's lock is ours, so a socket that is there is left over.
    rmSync(adminSocketOf(home), { force: true })
    const before = process.umask(0o177)
    try {
      await admin.listen({ path: adminSocketOf(home) })
    } finally {
      process.umask(before)
    }
  } catch (error) {
    await close()
    throw listeningFault(error, host, port) ?? error
  }
  return { url: urlOf(parts.config.address ?? host, port), storage_url: parts.storage_url, close }
}

/** Whether an appliance runs on a home. */
export function isRunning(home: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createConnection(adminSocketOf(home), () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
