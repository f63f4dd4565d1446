// Encrypted disks. Each has two keys: a file on the encrypted state, with which the appliance opens it by itself, and the
// recovery key of the appliance, which a person has. Both are long random words, so no time is spent on stretching them.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'
import { type Device, listDevices, underMapping } from './block-devices.ts'
import { writeWhole } from './durable.ts'
import { fault } from './errors.ts'
import type { Place } from './place.ts'
import { run } from './programs.ts'

export const LUKS_LABEL = 'holdfast-data'
const KEY_BYTES = 64
const FAST_KDF = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'] as const
/** cryptsetup's exit code for a key that opens nothing. */
const NO_KEY = 2

/** As systemd makes it: 64 letters in groups of eight. */
export const RecoveryKey = Type.String({ pattern: '^[cbdefghijklnrtuv]{8}(-[cbdefghijklnrtuv]{8}){7}$' })

export const mappingOf = (uuid: string): string => `holdfast-data-${uuid.slice(0, 8)}`
export const mappedPath = (uuid: string): string => `/dev/mapper/${mappingOf(uuid)}`
export const keyFileOf = (place: Place): string => join(place.own, 'data-disks.key')

/** The key file, made if there is none. */
export async function ensureKeyFile(place: Place): Promise<string> {
  const path = keyFileOf(place)
  if (!existsSync(path)) await writeWhole(path, randomBytes(KEY_BYTES))
  return path
}

/** @throws RECOVERY_KEY_WRONG  it does not open this device */
export async function checkRecoveryKey(device: string, recoveryKey: string): Promise<void> {
  try {
    await run('cryptsetup', ['open', '--test-passphrase', '--key-file', '-', device], { input: recoveryKey })
  } catch (error) {
    throw isFault(error, 'PROGRAM_FAILED') && error.message.includes(`ended with ${NO_KEY}`) ? fault('RECOVERY_KEY_WRONG') : error
  }
}

/** That it opens the encrypted state of this appliance. @throws RECOVERY_KEY_WRONG */
export const checkRecoveryKeyOfState = async (place: Place, recoveryKey: string): Promise<void> =>
  checkRecoveryKey(underMapping(await listDevices(), place.stateMapping).path, recoveryKey)

/**
 * Encrypts a disk anew: whatever was on it is gone.
 *
 * @returns the UUID of its header
 */
export async function formatLuks(place: Place, disk: Device, recoveryKey: string): Promise<string> {
  const keyFile = await ensureKeyFile(place)
  await run('wipefs', ['--all', '--force', disk.path])
  await run('cryptsetup', ['luksFormat', '--batch-mode', '--type', 'luks2', '--label', LUKS_LABEL, ...FAST_KDF, disk.path, keyFile])
  await run('cryptsetup', ['luksAddKey', '--batch-mode', '--key-file', keyFile, ...FAST_KDF, disk.path, '-'], { input: recoveryKey })
  await checkRecoveryKey(disk.path, recoveryKey)
  return (await run('cryptsetup', ['luksUUID', disk.path])).trim()
}

/** Opens a disk with the key file; does nothing if it is open. */
export async function openLuks(place: Place, path: string, uuid: string): Promise<void> {
  if (existsSync(mappedPath(uuid))) return
  await run('cryptsetup', ['open', '--type', 'luks2', '--allow-discards', '--key-file', keyFileOf(place), path, mappingOf(uuid)])
  await run('udevadm', ['settle', '--timeout=20'], { isFine: () => true })
}

export async function closeLuks(uuid: string): Promise<void> {
  if (existsSync(mappedPath(uuid))) await run('cryptsetup', ['close', mappingOf(uuid)])
}

/** Nobody opens this disk again, with any key. It can be done while the disk is open. */
export async function eraseLuks(path: string): Promise<void> {
  await run('cryptsetup', ['erase', '--batch-mode', path])
}
