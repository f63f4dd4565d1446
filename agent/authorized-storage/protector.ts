// Who keeps the key of the authorized storage: the platform, in its own way. Each way has a name, which is kept beside
// the sealed key, so that a store is opened as it was made.
import type { SecureBuffer } from 'sodium-native'
import { keyFile } from './key-file-protector.ts'
import { keychain } from './keychain.ts'
import { systemdCredentials } from './systemd-credentials.ts'
import { windowsDpapi } from './windows-dpapi.ts'

export type Protector = {
  readonly name: string
  /** Whether it works here, tried. */
  isHere(): Promise<boolean>
  /** Takes a 32-byte key into keeping. @returns what unprotect() needs to find it again; no secret */
  protect(key: Buffer, place: Place): Promise<Buffer>
  /** The key, in secure memory. @throws STORAGE_KEY_LOST */
  unprotect(kept: Buffer, place: Place): Promise<SecureBuffer>
  /** Destroys it. */
  forget(kept: Buffer, place: Place): Promise<void>
}

/** Of the agent whose store it is. */
export type Place = { readonly home: string }

/** In the order of preference; the key file is always there. */
export const PROTECTORS: readonly Protector[] = [windowsDpapi, keychain, systemdCredentials, keyFile]

export async function choose(): Promise<Protector> {
  for (const protector of PROTECTORS) if (await protector.isHere()) return protector
  return keyFile
}
