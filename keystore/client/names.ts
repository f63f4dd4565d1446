// The names under which a tenant's things lie in the keystore. Invariants:
//   type first (kv-, tr-, jwt-), so that one deny by prefix covers every tenant, also those that are still to come;
//   only a-z, 0-9 and -: no name can become a path, a wildcard or a template;
//   names are checked here before anything is sent, and the whole path once more in the transport.
import { SLOT_PATTERN } from '#keystore-seal/slot.ts'
import { fault } from './errors.ts'

export const TENANT_PATTERN = '^[a-z0-9][a-z0-9-]{0,63}$'
export const KID_PATTERN = '^[1-9][0-9]{0,8}-[0-9a-f]{32}$'
/** RSA-3072 gives 384 bytes, 512 digits of base64; the version is the key's, which is never rotated. */
export const SEALED_PATTERN = '^vault:v1:[A-Za-z0-9+/]{512}$'
/** Ids that go into a token's claims and a header, so into the keystore's audit log in clear. */
const ID_PATTERN = '^[A-Za-z0-9][A-Za-z0-9-]{0,63}$'

const PATTERNS = {
  tenant: new RegExp(TENANT_PATTERN),
  slot: new RegExp(SLOT_PATTERN),
  kid: new RegExp(KID_PATTERN),
  sealed: new RegExp(SEALED_PATTERN),
  device: new RegExp(ID_PATTERN),
  jti: new RegExp(ID_PATTERN),
}

/**
 * Checks names before they are used in a path or a claim.
 *
 * @throws KEYSTORE_NAME_INVALID
 */
export function checkNames(names: Partial<Readonly<Record<keyof typeof PATTERNS, string>>>): void {
  for (const [what, pattern] of Object.entries(PATTERNS)) {
    const name = names[what as keyof typeof PATTERNS]
    if (name !== undefined && (typeof name !== 'string' || !pattern.test(name)))
      throw fault('KEYSTORE_NAME_INVALID', { expected: `${what} like ${pattern.source}`, found: JSON.stringify(name).slice(0, 80) })
  }
}

/** Where the sealed W of a slot lie: KV, version 2. */
export const kvOf = (tenant: string): string => `kv-${tenant}`
/** Where a tenant's identity key and its slots' keys are: transit. */
export const transitOf = (tenant: string): string => `tr-${tenant}`
/** Where the appliance signs in for a tenant: JWT. */
export const jwtOf = (tenant: string): string => `jwt-${tenant}`
/** Where a tenant's approvers sign in by themselves: userpass. */
export const userpassOf = (tenant: string): string => `userpass-${tenant}`
/** The one policy of a role. */
export const policyOf = (role: string, tenant: string): string => `${role}-${tenant}`
/** The group that may release restores. */
export const approversOf = (tenant: string): string => `approvers-${tenant}`
/** A person's name in a restore's sign-in: never the shape of a slot. */
export const personOf = (name: string): string => `p-${name}`

/** The key of a transit engine that signs slots. */
export const IDENTITY_KEY = 'identity'
/** The header that the keystore keeps in its audit log: which act of ours a request belongs to. */
export const REQUEST_HEADER = 'x-holdfast-request'
