// A slot: the name under which one user's escrow lives in the keystore, with an RSA-3072 key whose private half never
// leaves it. The keystore's identity of the tenant signs each slot's public key, and the pairing link names that identity:
// an appliance that puts a key of its own in between is found before anything is sealed to it.
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { fault } from './errors.ts'

export const SLOT_PATTERN = '^s-[0-9a-f]{32}$'
export const IDENTITY_BYTES = 32
const SIGNATURE_BYTES = 64
const MODULUS_BITS = 3072
/** DER that stands before the 32 bytes of an Ed25519 public key (RFC 8410). */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')

export type Slot = {
  readonly tenant: string
  readonly slot: string
  /** RSA-3072, SPKI in PEM. */
  readonly public_key: string
  /** Ed25519 over the statement of the slot, base64. */
  readonly signature: string
}

/**
 * What the keystore's identity signs of a slot.
 *
 * @param publicKey  of the slot
 * @returns UTF-8: four lines, each ended by LF
 */
export function slotStatement(tenant: string, slot: string, publicKey: KeyObject): Buffer {
  const hash = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
  return Buffer.from(`holdfast-slot/1\n${tenant}\n${slot}\n${hash}\n`)
}

/** How a pairing link names an identity: SHA-256 of its 32 bytes, base64url. */
export const identityHash = (identity: Uint8Array): string => createHash('sha256').update(identity).digest('base64url')

/**
 * The public key of a slot, once its signature is checked.
 *
 * @param identity  the tenant's Ed25519 public key, 32 bytes, which the caller has compared with the pairing link
 * @throws SLOT_FORGED
 */
export function checkSlot({ tenant, slot, public_key, signature }: Slot, identity: Uint8Array): KeyObject {
  const key = parsePublicKey(public_key)
  const signed = Buffer.from(signature, 'base64')
  const isWhole = key !== undefined && identity.length === IDENTITY_BYTES && signed.length === SIGNATURE_BYTES && new RegExp(SLOT_PATTERN).test(slot)
  if (!isWhole) throw fault('SLOT_FORGED', { expected: `an RSA-${MODULUS_BITS} key with a signature`, found: 'something else' })
  const signer = createPublicKey({ key: Buffer.concat([ED25519_SPKI, identity]), format: 'der', type: 'spki' })
  if (!verify(null, slotStatement(tenant, slot, key), signer, signed)) throw fault('SLOT_FORGED', { found: `slot ${slot} with a signature of somebody else` })
  return key
}

function parsePublicKey(pem: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem)
    return key.asymmetricKeyType === 'rsa' && key.asymmetricKeyDetails?.modulusLength === MODULUS_BITS ? key : undefined
  } catch {
    return undefined
  }
}
