// What a paired device is to its site: kept in the authorized storage as one value, `site`, beside its key and certificate.

import { ArchiveId, DeviceId, Name, Pem } from '#protocol/names.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

export const Identity = Type.Object({
  device: DeviceId,
  user: Name,
  tenant: Name,
  archive: ArchiveId,
  authority: Type.String({ maxLength: 300 }),
  storage: Type.String({ maxLength: 300 }),
  ca: Pem,
  certificate: Pem,
  /** The tenant's Ed25519 public key at the keystore in base64, compared with the pairing link; none at a site without a keystore. */
  keystore_identity: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' })),
})
export type Identity = Static<typeof Identity>

/** @throws NOT_PAIRED if the bytes are missing or are no identity */
export function parseIdentity(bytes: Buffer | undefined): Identity {
  if (!bytes) throw fault('NOT_PAIRED')
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    value = undefined
  }
  if (!Check(Identity, value)) throw fault('NOT_PAIRED', { found: 'an identity that does not read' })
  return value
}
