// The keys that sign: the update manifest (Ed25519), and what the TPM may expect of a start (RSA). They are made once and kept
// apart from the repository; who has them can make updates for every appliance that has the public half.
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fault } from './errors.ts'
import { run } from './running.ts'

const PCR_KEY_BITS = 2048
const CERTIFICATE_DAYS = 36_500

export type BuildKeys = {
  readonly updateKey: string
  readonly updatePublic: string
  readonly pcrKey: string
  readonly pcrCertificate: string
}

/**
 * The keys in this folder; made if there is none.
 *
 * @throws BUILD_KEYS_DAMAGED, IMAGE_BUILD_FAILED
 */
export async function haveKeys(folder: string, log: string): Promise<BuildKeys> {
  const keys = {
    updateKey: join(folder, 'update.key'),
    updatePublic: join(folder, 'update.pem'),
    pcrKey: join(folder, 'pcr.key'),
    pcrCertificate: join(folder, 'pcr.pem'),
  }
  const missing = Object.values(keys).filter(file => !existsSync(file))
  if (missing.length === 0) return keys
  if (missing.length < Object.keys(keys).length) throw fault('BUILD_KEYS_DAMAGED', { found: `without ${missing.join(', ')}` })
  process.stderr.write(`image: making signing keys in ${folder}; keep them for every later version\n`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const update = generateKeyPairSync('ed25519')
  const pcr = generateKeyPairSync('rsa', { modulusLength: PCR_KEY_BITS })
  writeFileSync(keys.pcrKey, pcr.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  const subject = ['-subj', '/CN=Holdfast start', '-days', String(CERTIFICATE_DAYS)]
  await run(log, 'openssl', ['req', '-new', '-x509', '-key', keys.pcrKey, '-out', keys.pcrCertificate, ...subject])
  writeFileSync(keys.updatePublic, update.publicKey.export({ type: 'spki', format: 'pem' }))
  writeFileSync(keys.updateKey, update.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  return keys
}
