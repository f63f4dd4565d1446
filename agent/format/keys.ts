// The user's keys, and what is derived from them for one archive. Invariants:
//   key bytes live in sodium's memory only (locked, guarded, not in core dumps), and are zeroed by wipe();
//   nothing here turns a key into a string, which could not be wiped;
//   every use has a key of its own; all but the sealing keys come from epoch 1, so a new epoch re-uploads nothing.
// Derivation: FORMAT.md, "Keys".
import assert from 'node:assert/strict'
import sodium, { type SecureBuffer } from 'sodium-native'
import type { ArchiveId } from '#protocol/names.ts'
import { fault } from './errors.ts'

export const KEY_BYTES = 32
export const ARCHIVE_ID_BYTES = 16
export const FIRST_EPOCH = 1
/** More epochs than any user will see; bounds what a key ring or key file may claim. */
export const EPOCHS_MAX = 1024
const EPOCH_MAX = 0xffffffff

/** A user's keys by epoch, in secure memory. */
export type KeyRing = {
  /** Rising, beginning with 1. */
  readonly epochs: readonly number[]
  /** New records are sealed under this one. */
  readonly newestEpoch: number
  /** The 32-byte key of an epoch: a view, gone after wipe(). Undefined for an epoch that is not here. */
  keyOf(epoch: number): Buffer | undefined
  /** Zeroes and frees all keys; the ring cannot be used any more. May be called again. */
  wipe(): void
}

/** What one archive needs, in secure memory; each key 32 bytes but `path` (16). Views are gone after wipe(). */
export type ArchiveKeys = {
  readonly archive: ArchiveId
  readonly archiveBytes: Buffer
  readonly newestEpoch: number
  /** @throws KEY_EPOCH_UNKNOWN */
  sealing(epoch: number): Buffer
  readonly id: Buffer
  readonly content: Buffer
  readonly extents: Buffer
  readonly chunk: Buffer
  readonly path: Buffer
  wipe(): void
}

/** Zero bytes in secure memory. */
export function secureBuffer(bytes: number): SecureBuffer {
  const buffer = sodium.sodium_malloc(bytes)
  buffer.fill(0)
  return buffer
}

/** Zeroes and frees secure memory; every view into it is empty afterwards. */
export function wipeSecureBuffer(buffer: SecureBuffer): void {
  if (buffer.byteLength === 0) return
  sodium.sodium_memzero(buffer)
  sodium.sodium_free(buffer)
}

/** A new user key: epoch 1, 32 random bytes. */
export function createKeyRing(): KeyRing {
  const key = secureBuffer(KEY_BYTES)
  sodium.randombytes_buf(key)
  const ring = keyRingOf([{ epoch: FIRST_EPOCH, key }])
  wipeSecureBuffer(key)
  return ring
}

/**
 * A ring with these keys, which are copied into secure memory; wiping the originals is the caller's.
 *
 * @param keys  epochs from 1 without a gap, in order, 32 bytes each
 * @throws KEY_RING_DAMAGED  if they are not that
 */
export function keyRingOf(keys: readonly { readonly epoch: number; readonly key: Uint8Array }[]): KeyRing {
  const isWhole = keys.length > 0 && keys.length <= EPOCHS_MAX && keys.every((one, at) => one.epoch === FIRST_EPOCH + at && one.key.length === KEY_BYTES)
  if (!isWhole) throw fault('KEY_RING_DAMAGED', { expected: 'epochs from 1 without a gap, 32 bytes each', found: `${keys.length} keys` })
  const memory = secureBuffer(keys.length * KEY_BYTES)
  keys.forEach((one, at) => {
    memory.set(one.key, at * KEY_BYTES)
  })
  const epochs = keys.map(one => one.epoch)
  return {
    epochs,
    newestEpoch: epochs.length,
    keyOf: epoch => {
      const at = epochs.indexOf(epoch)
      assert(memory.byteLength > 0, 'the key ring was wiped')
      return at < 0 ? undefined : memory.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES)
    },
    wipe: () => wipeSecureBuffer(memory),
  }
}

/** A ring with one more, random, key; the given ring stays as it is. */
export function withNewEpoch(ring: KeyRing): KeyRing {
  const key = secureBuffer(KEY_BYTES)
  sodium.randombytes_buf(key)
  const next = keyRingOf([...keysOf(ring), { epoch: ring.newestEpoch + 1, key }])
  wipeSecureBuffer(key)
  return next
}

/**
 * The ring as bytes for the authorized storage: per epoch, in order, its number (u32 LE) and the 32-byte key.
 *
 * @returns secure memory: wipe it with wipeSecureBuffer when it is stored
 */
export function encodeKeyRing(ring: KeyRing): SecureBuffer {
  const bytes = secureBuffer(ring.epochs.length * (4 + KEY_BYTES))
  keysOf(ring).forEach(({ epoch, key }, at) => {
    bytes.writeUInt32LE(epoch, at * (4 + KEY_BYTES))
    bytes.set(key, at * (4 + KEY_BYTES) + 4)
  })
  return bytes
}

/**
 * The ring that encodeKeyRing() wrote; the bytes are copied, wiping them is the caller's.
 *
 * @throws KEY_RING_DAMAGED
 */
export function decodeKeyRing(bytes: Buffer): KeyRing {
  const each = 4 + KEY_BYTES
  if (bytes.length === 0 || bytes.length % each !== 0) throw fault('KEY_RING_DAMAGED', { expected: `a multiple of ${each} bytes`, found: `${bytes.length}` })
  const keys = Array.from({ length: bytes.length / each }, (_, at) => ({
    epoch: bytes.readUInt32LE(at * each),
    key: bytes.subarray(at * each + 4, (at + 1) * each),
  }))
  return keyRingOf(keys)
}

const keysOf = (ring: KeyRing): { epoch: number; key: Buffer }[] =>
  ring.epochs.map(epoch => {
    const key = ring.keyOf(epoch)
    assert(key)
    return { epoch, key }
  })

/** What each derived key is for: 16 ASCII bytes that begin the derivation's message. */
export const KEY_CONTEXTS = {
  sealing: 'holdfast-sealing',
  id: 'holdfast-records',
  content: 'holdfast-content',
  extents: 'holdfast-extents',
  chunk: 'holdfast-chunker',
  path: 'holdfast-pathcut',
} as const

/**
 * One derived key: keyed BLAKE2b-256 over context ‖ archive id ‖ epoch (u32 LE), with the epoch's user key as key.
 *
 * @param target   32 bytes of secure memory
 * @param archive  the 16-byte archive id
 */
export function deriveKey(target: Buffer, userKey: Buffer, context: string, archive: Buffer, epoch: number): void {
  assert(context.length === 16 && archive.length === ARCHIVE_ID_BYTES && epoch >= FIRST_EPOCH && epoch <= EPOCH_MAX)
  const message = Buffer.alloc(36)
  message.write(context, 0, 'latin1')
  message.set(archive, 16)
  message.writeUInt32LE(epoch, 32)
  sodium.crypto_generichash(target, message, userKey)
}

/**
 * The keys of one archive, in secure memory of their own: they outlive the ring, and are wiped apart from it.
 *
 * @param archive  the archive's id, 32 hex digits
 */
export function deriveArchiveKeys(ring: KeyRing, archive: ArchiveId): ArchiveKeys {
  const archiveBytes = Buffer.from(archive, 'hex')
  assert(archiveBytes.length === ARCHIVE_ID_BYTES, 'an archive id is 32 hex digits')
  const shared = ['id', 'content', 'extents', 'chunk', 'path'] as const
  const memory = secureBuffer((shared.length + ring.epochs.length) * KEY_BYTES)
  const slot = (at: number): Buffer => memory.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES)
  const first = ring.keyOf(FIRST_EPOCH)
  assert(first)
  shared.forEach((name, at) => {
    deriveKey(slot(at), first, KEY_CONTEXTS[name], archiveBytes, FIRST_EPOCH)
  })
  keysOf(ring).forEach(({ epoch, key }, at) => {
    deriveKey(slot(shared.length + at), key, KEY_CONTEXTS.sealing, archiveBytes, epoch)
  })
  const epochs = [...ring.epochs]
  return {
    archive,
    archiveBytes,
    newestEpoch: ring.newestEpoch,
    sealing: epoch => {
      assert(memory.byteLength > 0, 'the keys were wiped')
      const at = epochs.indexOf(epoch)
      if (at < 0) throw fault('KEY_EPOCH_UNKNOWN', { expected: `epoch 1 to ${epochs.length}`, found: `${epoch}` })
      return slot(shared.length + at)
    },
    id: slot(0),
    content: slot(1),
    extents: slot(2),
    chunk: slot(3),
    path: slot(4).subarray(0, 16),
    wipe: () => wipeSecureBuffer(memory),
  }
}
