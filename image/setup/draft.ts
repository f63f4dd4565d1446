// A draft: the whole site, made where only the set-up server's user writes. Nothing of it counts before the finishing
// step, as root, has taken it (finish-site.ts).
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import { openAuthority } from '#authority/authority.ts'
import { AUTHORITY_PORT_DEFAULT, initHome, STORAGE_PORT_DEFAULT } from '#authority/home.ts'
import { writeDurably } from './durable-file.ts'
import { keystoreOf, MACHINE_PART, type MachinePart, type SiteFacts } from './machine-part.ts'
import { SEALED_RECOVERY_KEY } from './places.ts'
import { sealRecoveryKey } from './seal-recovery-key.ts'
import type { Settings } from './settings.ts'

/** @throws AGE_KEY_INVALID, and as initHome and openAuthority */
export async function makeDraft(folder: string, settings: Settings, recoveryKey: string, version: string): Promise<SiteFacts> {
  removeDraft(folder)
  mkdirSync(folder, { mode: 0o700 })
  const { address, administrator, keystore, network, time } = settings
  const ports = { authority_port: AUTHORITY_PORT_DEFAULT, storage_port: STORAGE_PORT_DEFAULT }
  const { ca_sha256 } = await initHome(folder, { listen: '::', address, ...ports }, keystore === null ? undefined : JSON.stringify(keystore), Date.now())
  const authority = await openAuthority(folder, { version })
  try {
    const payload = { administrator: administrator.name, password: administrator.password, tenant: null }
    const { statusCode } = await authority.admin.inject({ method: 'POST', url: ADMIN_PATHS.administrators, payload })
    if (statusCode !== 200) throw new Error(`the authority did not take its first administrator: ${statusCode}`)
  } finally {
    await authority.close()
  }
  const site = { address, ...ports, ca_sha256 }
  const part: MachinePart = { site, network, time, keystore: keystoreOf(keystore?.addresses ?? []) }
  writeDurably(join(folder, MACHINE_PART), JSON.stringify(part))
  if (keystore?.recovery_recipients) writeDurably(join(folder, SEALED_RECOVERY_KEY), await sealRecoveryKey(recoveryKey, keystore.recovery_recipients))
  return site
}

export const removeDraft = (folder: string): void => rmSync(folder, { recursive: true, force: true })
