// A real keystore for a test: provisioned, with a client and what an agent would hand over.
import { createPublicKey, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection } from '#keystore-client/connection.ts'
import { createKeystore, type Keystore } from '#keystore-client/keystore.ts'
import { type AdminSession, openAdminSession } from '#keystore-client/session.ts'
import { createTransport, type Transport } from '#keystore-client/transport.ts'
import { provisionConnection } from '#keystore-provision/site-connection.ts'
import { openUserKey, sealUserKey } from '#keystore-seal/sealed-key.ts'
import { kidOf } from '#keystore-seal/sealed-key-head.ts'
import { type Cluster, startCluster } from '#keystore-server/cluster.ts'

export const TENANT = 'acme'
export const OTHER_TENANT = 'globex'

export type Provisioned = {
  readonly folder: string
  readonly cluster: Cluster
  readonly connection: Connection
  readonly keystore: Keystore
  readonly transport: Transport
  /** With a root token, at the first node. */
  readonly admin: AdminSession
  close(): Promise<void>
}

export type ProvisionedOptions = { readonly nodes?: 1 | 3; readonly folder?: string; readonly tenants?: readonly string[] }

/** A new keystore, by default with two tenants; as many fetches as a test likes. */
export async function startProvisioned({ nodes = 1, folder = newFolder(), tenants = [TENANT, OTHER_TENANT] }: ProvisionedOptions = {}): Promise<Provisioned> {
  const cluster = await startCluster(folder, { nodes })
  try {
    const access = { addresses: [...cluster.addresses], ca: cluster.ca, certificate: cluster.clientCertificate, key: cluster.clientKey }
    const { connection } = await provisionConnection(access, cluster.rootToken, { tenants, fetches_per_minute: 100_000 })
    const keystore = createKeystore(connection)
    const transport = createTransport(connection)
    return {
      folder,
      cluster,
      connection,
      keystore,
      transport,
      admin: openAdminSession(transport, cluster.addresses[0] ?? '', { token: cluster.rootToken }),
      async close() {
        keystore.close()
        transport.close()
        await cluster.stop()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

export const newFolder = (): string => mkdtempSync(join(tmpdir(), 'holdfast-keystore-'))
export const newSlot = (): string => `s-${randomBytes(16).toString('hex')}`
export const newFacts = (): { jti: string; device: string } => ({ jti: randomBytes(16).toString('hex'), device: randomBytes(16).toString('hex') })

export type Escrow = { readonly slot: string; readonly kid: string; readonly sealed: string; readonly sealedKey: Buffer; readonly ring: Buffer }

/** A user's key, sealed to a slot as an endpoint does it. */
export function sealTo(slot: string, publicKey: string, tenant = TENANT): Escrow {
  const ring = randomBytes(36)
  const { sealed_key, sealed_w, kid } = sealUserKey(ring, { tenant, slot, epoch: 1 }, createPublicKey(publicKey))
  if (kid !== kidOf(1, sealed_key)) throw new Error('a kid is the name of its sealed key')
  return { slot, kid, sealed: sealed_w, sealedKey: sealed_key, ring }
}

/** A new slot and a key sealed to it, not handed over yet. */
export async function newEscrow({ keystore }: Pick<Provisioned, 'keystore'>, tenant = TENANT): Promise<Escrow> {
  const slot = newSlot()
  return sealTo(slot, (await keystore.makeSlot(tenant, slot)).public_key, tenant)
}

/** Whether what the keystore opened opens the user's key. */
export function opensKey(opened: Buffer, { sealedKey, slot, ring }: Escrow, tenant = TENANT): boolean {
  return openUserKey(sealedKey, opened, { tenant, slot, epoch: 1 }).equals(ring)
}
