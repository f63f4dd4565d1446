// A keystore for a rehearsal: a real one, of one node, that is gone afterwards.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scratch } from '#keystore-operate/rehearse.ts'
import { startCluster } from '#keystore-server/cluster.ts'

/** Starts it in a folder of its own. @param parent where, as much room as the snapshot takes is needed; the system's by default */
export async function startScratch(parent: string = tmpdir()): Promise<Scratch> {
  const folder = mkdtempSync(join(parent, 'holdfast-rehearsal-'))
  try {
    const cluster = await startCluster(folder, { nodes: 1 })
    const { addresses, ca, clientCertificate: certificate, clientKey: key, rootToken } = cluster
    return {
      access: { addresses: [...addresses], ca, certificate, key },
      rootToken,
      isActive: async () => (await cluster.nodes[0]?.isActive()) === true,
      async remove() {
        await cluster.stop()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}
