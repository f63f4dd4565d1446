// What anybody may read of a sealed key: whose it says it is, and by which name its other half lies in the keystore. The
// code that opens it is apart (sealed-key.ts): the authority reaches this file only.
//   magic 'H' 'F' 'K', version (1) ‖ epoch (u32 LE) ‖ length of tenant (u8) ‖ tenant ‖ length of slot (u8) ‖ slot
//   then nonce (12) ‖ the encoded key ring under AES-256-GCM ‖ tag (16); all before the nonce is under the tag
import { createHash } from 'node:crypto'
import { SEALED_KEY_BYTES_MAX } from '#protocol/limits.ts'
import { fault } from './errors.ts'
import { SLOT_PATTERN } from './slot.ts'

export const SEALED_KEY_VERSION = 1
/** W ‖ SHA-256 of the sealed key: what the keystore opens. */
export const OPENED_BYTES = 64
export const SEALED_KEY_NONCE_BYTES = 12
export const SEALED_KEY_TAG_BYTES = 16
const MAGIC = Buffer.from(`HFK${String.fromCharCode(SEALED_KEY_VERSION)}`, 'latin1')
const FIXED_BYTES = MAGIC.length + 4 + 1 + 1
const KID_HASH_DIGITS = 32

export type Owner = {
  readonly tenant: string
  readonly slot: string
  /** Of the newest key in the ring. */
  readonly epoch: number
}

/** The id of the record that a sealed key is beside an archive: its SHA-256. */
export const sealedKeyId = (sealedKey: Uint8Array): Buffer => createHash('sha256').update(sealedKey).digest()

/** The name of an escrow in its slot: the epoch, and the beginning of the sealed key's SHA-256. */
export const kidOf = (epoch: number, sealedKey: Uint8Array): string => `${epoch}-${sealedKeyId(sealedKey).toString('hex').slice(0, KID_HASH_DIGITS)}`

/**
 * Whose a sealed key is, as it says itself: only opening proves it.
 *
 * @throws SEALED_KEY_INVALID
 */
export function ownerOf(sealedKey: Buffer): Owner {
  return readSealedKeyHead(sealedKey).owner
}

/** The beginning of a sealed key. */
export function sealedKeyHead({ tenant, slot, epoch }: Owner): Buffer {
  const head = Buffer.alloc(FIXED_BYTES + tenant.length + slot.length)
  let at = head.write(MAGIC.toString('latin1'), 'latin1')
  at = head.writeUInt32LE(epoch, at)
  for (const name of [tenant, slot]) {
    at = head.writeUInt8(name.length, at)
    at += head.write(name, at, 'latin1')
  }
  return head
}

/**
 * Reads the beginning of a sealed key without trusting it.
 *
 * @returns whose it says it is, and how long the beginning is, in bytes
 * @throws SEALED_KEY_INVALID
 */
export function readSealedKeyHead(sealedKey: Buffer): { owner: Owner; head_bytes: number } {
  const wrong = (found: string): Error => fault('SEALED_KEY_INVALID', { found })
  if (sealedKey.length > SEALED_KEY_BYTES_MAX || sealedKey.length < FIXED_BYTES) throw wrong(`${sealedKey.length} bytes`)
  if (!sealedKey.subarray(0, MAGIC.length).equals(MAGIC)) throw wrong('another beginning')
  let at = MAGIC.length + 4
  const name = (): string => {
    const end = at + 1 + (sealedKey[at] ?? 0)
    const text = sealedKey.toString('latin1', at + 1, end)
    at = end
    return text
  }
  const owner = { epoch: sealedKey.readUInt32LE(MAGIC.length), tenant: name(), slot: name() }
  if (owner.epoch < 1 || !/^[a-z0-9][a-z0-9-]{0,63}$/.test(owner.tenant) || !new RegExp(SLOT_PATTERN).test(owner.slot))
    throw wrong('names that are not allowed')
  if (sealedKey.length <= at + SEALED_KEY_NONCE_BYTES + SEALED_KEY_TAG_BYTES) throw wrong(`${sealedKey.length} bytes`)
  return { owner, head_bytes: at }
}
