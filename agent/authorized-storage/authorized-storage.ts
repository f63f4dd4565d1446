// The agent's own encrypted key-value store: the user's keys, the device's key and certificate, what site it belongs to.
// Invariants:
//   a value on disk is sealed (XChaCha20-Poly1305) under the store's key, with its name as associated data: a value that
//   was moved to another name, or altered, does not open;
//   put() is all or nothing, and durable when it resolves; wipe() leaves nothing that can be opened, whenever it is cut;
//   values are handed out in secure memory.
//   <home>/authorized/store     version and name of the protector (JSON), and what that needs to find the key (base64)
//   <home>/authorized/<name>    version (1 byte) ‖ nonce (24) ‖ sealed value
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import sodium, { type SecureBuffer } from 'sodium-native'
import { fault } from './errors.ts'
import { choose, type Place, PROTECTORS } from './protector.ts'

/**
 * sealed-key: the user key as it is in escrow, which goes beside the archive. passphrase-key: derived from the user's
 * passphrase, where custody takes one.
 */
export type ValueName = 'user-key-ring' | 'device-key' | 'site' | 'sealed-key' | 'passphrase-key'

export type AuthorizedStorage = {
  /** A value in secure memory (wiping it is the caller's), or undefined. @throws STORAGE_DAMAGED, STORAGE_KEY_LOST */
  get(name: ValueName): Promise<SecureBuffer | undefined>
  put(name: ValueName, value: Buffer): Promise<void>
  /** Destroys the key first, then all values. */
  wipe(): Promise<void>
  /** Zeroes the key in memory. */
  close(): Promise<void>
}

const VERSION = 1
const STORE_FILE = 'store'

type StoreFile = { readonly version: number; readonly protector: string; readonly kept: string }

/** By hand: a schema's checker would be half of what the thread that only needs a key loads. */
const isStoreFile = (value: unknown): value is StoreFile =>
  typeof value === 'object' &&
  value !== null &&
  'version' in value &&
  Number.isInteger(value.version) &&
  'protector' in value &&
  typeof value.protector === 'string' &&
  'kept' in value &&
  typeof value.kept === 'string'

/**
 * Opens the store in an agent's home; nothing is written before the first put().
 *
 * @throws STORAGE_NEWER, STORAGE_DAMAGED
 */
export async function openAuthorizedStorage(home: string): Promise<AuthorizedStorage> {
  const folder = join(home, 'authorized')
  const place: Place = { home }
  let key: SecureBuffer | undefined

  const openKey = async (): Promise<SecureBuffer | undefined> => {
    if (key) return key
    const store = readStoreFile(folder)
    if (!store) return undefined
    key = await store.protector.unprotect(store.kept, place)
    return key
  }
  const makeKey = async (): Promise<SecureBuffer> => {
    const known = await openKey()
    if (known) return known
    const made = sodium.sodium_malloc(sodium.crypto_aead_xchacha20poly1305_ietf_KEYBYTES)
    sodium.randombytes_buf(made)
    const protector = await choose()
    const kept = await protector.protect(made, place)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeWhole(folder, STORE_FILE, Buffer.from(JSON.stringify({ version: VERSION, protector: protector.name, kept: kept.toString('base64') })))
    key = made
    return made
  }
  return {
    async get(name) {
      const sealed = readIfThere(join(folder, name))
      if (!sealed) return undefined
      const opened = await openKey()
      if (!opened) throw fault('STORAGE_DAMAGED', { expected: 'a file authorized/store', found: 'none' })
      return unseal(opened, name, sealed)
    },
    async put(name, value) {
      writeWhole(folder, name, seal(await makeKey(), name, value))
    },
    async wipe() {
      const store = readStoreFile(folder)
      if (store) await store.protector.forget(store.kept, place)
      // The store file first: without what finds the key, nothing opens, even if this is cut short.
      rmSync(join(folder, STORE_FILE), { force: true })
      rmSync(folder, { recursive: true, force: true })
      if (key) sodium.sodium_memzero(key)
      key = undefined
    },
    async close() {
      if (key) sodium.sodium_memzero(key)
      key = undefined
    },
  }
}

function seal(key: SecureBuffer, name: string, value: Buffer): Buffer {
  const nonce = Buffer.alloc(sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
  sodium.randombytes_buf(nonce)
  const sealed = Buffer.alloc(value.length + sodium.crypto_aead_xchacha20poly1305_ietf_ABYTES)
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, value, Buffer.from(name), null, nonce, key)
  return Buffer.concat([Buffer.from([VERSION]), nonce, sealed])
}

function unseal(key: SecureBuffer, name: string, bytes: Buffer): SecureBuffer {
  if (bytes.length > 0 && (bytes[0] ?? 0) > VERSION) throw fault('STORAGE_NEWER', { expected: `version ${VERSION}`, found: `version ${bytes[0]}` })
  const begin = 1 + sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
  const value_bytes = bytes.length - begin - sodium.crypto_aead_xchacha20poly1305_ietf_ABYTES
  if (value_bytes < 1 || bytes[0] !== VERSION) throw fault('STORAGE_DAMAGED', { found: `authorized/${name} is cut or altered` })
  const value = sodium.sodium_malloc(value_bytes)
  try {
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(value, null, bytes.subarray(begin), Buffer.from(name), bytes.subarray(1, begin), key)
  } catch (cause) {
    throw fault('STORAGE_DAMAGED', { found: `authorized/${name} does not open`, cause })
  }
  return value
}

function readStoreFile(folder: string): { protector: (typeof PROTECTORS)[number]; kept: Buffer } | undefined {
  const bytes = readIfThere(join(folder, STORE_FILE))
  if (!bytes) return undefined
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    value = undefined
  }
  if (!isStoreFile(value)) throw fault('STORAGE_DAMAGED', { found: 'authorized/store does not read' })
  if (value.version > VERSION) throw fault('STORAGE_NEWER', { expected: `version ${VERSION}`, found: `version ${value.version}` })
  const protector = PROTECTORS.find(one => one.name === value.protector)
  if (!protector) throw fault('STORAGE_DAMAGED', { found: 'authorized/store names an unknown protector' })
  return { protector, kept: Buffer.from(value.kept, 'base64') }
}

/** Writes a file as a whole: after a crash there is the old one or the new one. */
function writeWhole(folder: string, name: string, bytes: Buffer): void {
  const temporary = join(folder, `.${name}.new`)
  const fd = openSync(temporary, 'w', 0o600)
  try {
    writeSync(fd, bytes)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, join(folder, name))
  const directory = openSync(folder, 'r')
  fsyncSync(directory)
  closeSync(directory)
}

function readIfThere(file: string): Buffer | undefined {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return undefined
  return readFileSync(file)
}
