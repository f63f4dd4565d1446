// The user key of this device: made here at the user's first sign-in and given into escrow, or fetched from there on a
// further device. Invariants:
//   a key is stored here only when its escrow is durable at the authority: no backup is sealed under a key that is lost
//   with this device, and of two devices that pair at once both end with the one key that came first;
//   what is fetched is opened here only, in secure memory.
import type { KeyObject } from 'node:crypto'
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { decodeKeyRing, encodeKeyRing, type KeyRing, type secureBuffer, wipeSecureBuffer, withNewEpoch } from '#format/keys.ts'
import { createAnswerBox } from '#keystore-seal/answer-box.ts'
import { fault as sealFault } from '#keystore-seal/errors.ts'
import {
  derivePassphraseKey,
  fitsLockedRing,
  isLockedRing,
  lockRing,
  newPassphraseCost,
  type PassphraseCost,
  passphraseCostOf,
  unlockRing,
} from '#keystore-seal/passphrase-lock.ts'
import { openUserKey, sealUserKey } from '#keystore-seal/sealed-key.ts'
import { checkSlot } from '#keystore-seal/slot.ts'
import type { Custody, PairedEscrow } from '#protocol/authority-api.ts'
import { isFault } from '#protocol/fault.ts'
import { fault } from '#site/errors.ts'
import type { Site } from '#site/site.ts'

type SecureBuffer = ReturnType<typeof secureBuffer>

/** Asks the user for the passphrase; the buffer is wiped by who asked. `isNew`: they choose one. */
export type AskPassphrase = (isNew: boolean) => Promise<Buffer>

/** The key can't be had now, and can later. */
const PASSING = ['ESCROW_WAITING', 'KEYSTORE_AWAY', 'KEY_FETCHES_LIMITED']

/** Where nobody can be asked. */
const askNobody: AskPassphrase = () => Promise.reject(sealFault('PASSPHRASE_NEEDED'))

/**
 * At pairing: how this device came to its key. 'waiting': the user has one, but the keystore can't be asked now; later
 * commands fetch it.
 *
 * @param ring  what is given into escrow if the user has no key there: a new one, or that of a recovery file
 * @throws SLOT_FORGED, KEY_FILE_UNNEEDED, and faults of the site
 */
export async function establishKey(
  site: Site,
  storage: AuthorizedStorage,
  escrow: PairedEscrow,
  { ring, isFromFile }: { ring: KeyRing; isFromFile: boolean },
  ask: AskPassphrase,
): Promise<'made' | 'given' | 'fetched' | 'waiting'> {
  const place = { slot: escrow.slot.slot, publicKey: checkSlot({ ...escrow.slot, tenant: site.identity.tenant }, Buffer.from(escrow.identity, 'base64')) }
  if (!escrow.is_held && (await putKey(site, storage, ring, place, escrow.custody, ask))) return isFromFile ? 'given' : 'made'
  if (isFromFile) throw fault('KEY_FILE_UNNEEDED')
  try {
    await fetchKey(site, storage, ask)
    return 'fetched'
  } catch (error) {
    if (isFault(error, ...PASSING)) return 'waiting'
    throw error
  }
}

/** Where a key is sealed to. */
type Place = { readonly slot: string; readonly publicKey: KeyObject }

/** False if another device of this user was quicker. */
async function putKey(site: Site, storage: AuthorizedStorage, ring: KeyRing, place: Place, custody: Custody, ask: AskPassphrase): Promise<boolean> {
  const lock = custody === 'passphrase' ? await deriveFrom(ask, true, newPassphraseCost()) : undefined
  try {
    return await giveIntoEscrow(site, storage, ring, place, lock)
  } finally {
    if (lock) wipeSecureBuffer(lock)
  }
}

/** Stores the ring once its escrow is durable at the authority. False if there is another key of this epoch. */
async function giveIntoEscrow(
  site: Site,
  storage: AuthorizedStorage,
  ring: KeyRing,
  { slot, publicKey }: Place,
  lock: SecureBuffer | undefined,
): Promise<boolean> {
  const encoded = encodeKeyRing(ring)
  try {
    const epoch = ring.newestEpoch
    const sealed = sealUserKey(lock ? lockRing(encoded, lock) : encoded, { tenant: site.identity.tenant, slot, epoch }, publicKey)
    const custody = lock ? 'passphrase' : 'escrowed'
    await site.putEscrow({ slot, epoch, custody, sealed_key: sealed.sealed_key.toString('base64'), sealed_w: sealed.sealed_w })
    if (lock) await storage.put('passphrase-key', lock)
    await storage.put('sealed-key', sealed.sealed_key)
    await storage.put('user-key-ring', encoded)
    return true
  } catch (error) {
    if (isFault(error, 'ESCROW_EXISTS')) return false
    throw error
  } finally {
    wipeSecureBuffer(encoded)
  }
}

async function deriveFrom(ask: AskPassphrase, isNew: boolean, cost: PassphraseCost): Promise<SecureBuffer> {
  const passphrase = await ask(isNew)
  try {
    return await derivePassphraseKey(passphrase, cost)
  } finally {
    passphrase.fill(0)
  }
}

/** What was in escrow, without the lock of a passphrase. */
async function unlocked(storage: AuthorizedStorage, bytes: SecureBuffer, ask: AskPassphrase): Promise<SecureBuffer> {
  if (!isLockedRing(bytes)) return bytes
  let lock = await storage.get('passphrase-key')
  try {
    if (lock && !fitsLockedRing(lock, bytes)) {
      wipeSecureBuffer(lock)
      lock = undefined
    }
    lock ??= await deriveFrom(ask, false, passphraseCostOf(bytes))
    const ring = unlockRing(bytes, lock)
    await storage.put('passphrase-key', lock)
    return ring
  } finally {
    wipeSecureBuffer(bytes)
    if (lock) wipeSecureBuffer(lock)
  }
}

/** Fetches the user's key from escrow and stores it. @throws PASSPHRASE_NEEDED, PASSPHRASE_WRONG, and those of requireKey() */
export async function fetchKey(site: Site, storage: AuthorizedStorage, ask: AskPassphrase): Promise<void> {
  const box = createAnswerBox()
  try {
    const { tenant: _, ...answer } = await site.fetchKey(box.publicKey)
    const sealed = Buffer.from(answer.sealed_key, 'base64')
    const opened = box.open(Buffer.from(answer.opened, 'base64'))
    try {
      const content = openUserKey(sealed, opened, { tenant: site.identity.tenant, slot: answer.slot, epoch: answer.epoch })
      const encoded = await unlocked(storage, content, ask)
      try {
        await checkSuccession(storage, encoded)
        await storage.put('sealed-key', sealed)
        await storage.put('user-key-ring', encoded)
      } finally {
        wipeSecureBuffer(encoded)
      }
    } finally {
      wipeSecureBuffer(opened)
    }
  } finally {
    box.wipe()
  }
  await site.keyStored()
}

/** A key that is here stays: what comes from escrow may only go on from it. @throws SEALED_KEY_DOES_NOT_OPEN, KEY_RING_DAMAGED */
async function checkSuccession(storage: AuthorizedStorage, fetched: Buffer): Promise<void> {
  decodeKeyRing(fetched).wipe()
  const here = await storage.get('user-key-ring')
  if (!here) return
  const isSame = fetched.length >= here.length && here.equals(fetched.subarray(0, here.length))
  wipeSecureBuffer(here)
  if (!isSame) throw sealFault('SEALED_KEY_DOES_NOT_OPEN', { found: 'a key ring that does not go on from the one that is here' })
}

/**
 * Makes sure that the key is here, for commands that need it: a device that was paired while the keystore was away fetches
 * it now.
 *
 * @throws NOT_PAIRED, ESCROW_WAITING, KEYSTORE_AWAY, KEY_FETCHES_LIMITED, KEY_NOT_GRANTED
 */
export async function requireKey(site: Site, storage: AuthorizedStorage): Promise<void> {
  const encoded = await storage.get('user-key-ring')
  if (encoded) wipeSecureBuffer(encoded)
  else if (site.identity.keystore_identity === undefined) throw fault('NOT_PAIRED', { found: 'no user key' })
  else await fetchKey(site, storage, askNobody)
}

/**
 * Before a backup: takes over a newer key that another device of this user made, or makes one if it is due. What is stored
 * already stays under the keys that it was sealed with, and they stay in the ring.
 *
 * @returns 'passphrase-wanted': a new key is due, and has to be locked by a passphrase that is not known here yet
 * @throws those of requireKey(), SLOT_FORGED
 */
export async function keepKeyCurrent(
  site: Site,
  storage: AuthorizedStorage,
  ask: AskPassphrase = askNobody,
): Promise<'current' | 'renewed' | 'passphrase-wanted'> {
  const { keystore_identity, tenant } = site.identity
  await requireKey(site, storage)
  if (keystore_identity === undefined) return 'current'
  const { held, slot, is_rotation_due, custody } = await site.escrow()
  const ring = await openKeyRing(site, storage)
  let lock: SecureBuffer | undefined
  try {
    if (held && held.epoch > ring.newestEpoch) return await fetchIfPossible(site, storage)
    if (!is_rotation_due || !slot || custody === 'self-held') return 'current'
    const publicKey = checkSlot({ ...slot, tenant }, Buffer.from(keystore_identity, 'base64'))
    if (custody === 'passphrase') lock = (await storage.get('passphrase-key')) ?? (await deriveFrom(ask, true, newPassphraseCost()))
    const next = withNewEpoch(ring)
    const isOurs = await giveIntoEscrow(site, storage, next, { slot: slot.slot, publicKey }, lock).finally(() => next.wipe())
    return isOurs ? 'renewed' : await fetchIfPossible(site, storage)
  } catch (error) {
    if (isFault(error, 'PASSPHRASE_NEEDED')) return 'passphrase-wanted'
    throw error
  } finally {
    ring.wipe()
    if (lock) wipeSecureBuffer(lock)
  }
}

/** If the keystore can't be asked now, backups go on under the key that is here. */
async function fetchIfPossible(site: Site, storage: AuthorizedStorage): Promise<'current' | 'renewed'> {
  try {
    await fetchKey(site, storage, askNobody)
    return 'renewed'
  } catch (error) {
    if (isFault(error, ...PASSING)) return 'current'
    throw error
  }
}

/** The user's keys. They stay the caller's, to wipe. @throws NOT_PAIRED, and those of requireKey() */
export async function openKeyRing(site: Site, storage: AuthorizedStorage): Promise<KeyRing> {
  await requireKey(site, storage)
  const encoded = await storage.get('user-key-ring')
  if (!encoded) throw fault('NOT_PAIRED')
  try {
    return decodeKeyRing(encoded)
  } finally {
    wipeSecureBuffer(encoded)
  }
}
