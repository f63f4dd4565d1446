// Disks become data disks: named by somebody, who also says what is on them, and encrypted anew. The archives move onto
// them while the storage node goes on; it stands still only for what was written meanwhile. Until the list of the data
// disks is written, nothing has happened but that the disks were overwritten.
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Say } from '#image-update/act.ts'
import { contentOf, type Device, findDisk, isUsb, listDevices, serialOf, withAllBelow } from './block-devices.ts'
import { makeBtrfs, membersOf } from './btrfs.ts'
import { type DataDisk, type DataDisks, readDataDisks, writeDataDisks } from './data-disks.ts'
import { fault } from './errors.ts'
import { checkRecoveryKeyOfState, closeLuks, formatLuks, LUKS_LABEL, mappedPath, openLuks } from './luks.ts'
import { mountData } from './mount-data.ts'
import { isMounted, mount, unmount } from './mounts.ts'
import { moveArchives } from './move-archives.ts'
import type { Place } from './place.ts'
import { settle } from './settle.ts'

/** Smaller ones are no disks for backups. */
const DISK_BYTES_MIN = 256 * 1024 * 1024

/** A disk as `disks.list` shows it: whoever names it has seen what is on it. */
export type Confirmed = { readonly serial: string; readonly size_bytes: number; readonly content: string }

/** The disks, if each is what was confirmed and may be overwritten. @throws DISK_UNKNOWN, DISK_CHANGED, DISK_NOT_FREE, DISK_TOO_SMALL */
async function confirmedDisks(place: Place, confirmed: readonly Confirmed[]): Promise<Device[]> {
  const devices = await listDevices()
  const used = (await readDataDisks(place))?.disks ?? []
  const disks: Device[] = []
  for (const { serial, size_bytes, content } of confirmed) {
    const disk = findDisk(devices, serial)
    const all = withAllBelow(disk)
    if (isUsb(disk) || disk.ro) throw fault('DISK_NOT_FREE', { found: `${serial} is ${disk.ro ? 'read-only' : 'a USB disk'}` })
    if (all.some(({ mountpoints, type }) => type === 'crypt' || mountpoints.some(point => point !== null)))
      throw fault('DISK_NOT_FREE', { found: `${serial} is in use` })
    if (used.some(({ luks }) => all.some(({ uuid }) => uuid === luks))) throw fault('DISK_NOT_FREE', { found: `${serial} is a data disk already` })
    const found = { size_bytes: disk.size, content: await contentOf(disk) }
    if (found.size_bytes !== size_bytes || found.content !== content)
      throw fault('DISK_CHANGED', { expected: `${size_bytes} bytes: ${content}`, found: `${found.size_bytes} bytes: ${found.content}` })
    if (disk.size < DISK_BYTES_MIN) throw fault('DISK_TOO_SMALL', { expected: `${DISK_BYTES_MIN} bytes`, found: `${disk.size}` })
    if (disks.includes(disk)) throw fault('DISK_NOT_FREE', { found: `${serial}, named twice` })
    disks.push(disk)
  }
  return disks
}

async function makeDataDisk(place: Place, disk: Device, recoveryKey: string, now_ms: number): Promise<DataDisk> {
  const luks = await formatLuks(place, disk, recoveryKey)
  await openLuks(place, disk.path, luks)
  return { serial: serialOf(disk), luks, since_ms: now_ms, part: 'member', is_stale: false }
}

/**
 * Uses one or two disks for the archives; one more, if there is one.
 *
 * @throws those of the confirmation; RECOVERY_KEY_WRONG; DISKS_IN_USE; TARGET_TOO_FULL, COPY_DIFFERS
 */
export async function useDisks(place: Place, confirmed: readonly Confirmed[], recoveryKey: string, say: Say): Promise<void> {
  const before = await readDataDisks(place)
  if (before && before.disks.length + confirmed.length > 2) throw fault('DISKS_IN_USE')
  const disks = await confirmedDisks(place, confirmed)
  await checkRecoveryKeyOfState(place, recoveryKey)
  if (before) return addDisk(place, before, disks, recoveryKey, say)

  say({ step: 'format' })
  const made: DataDisk[] = []
  for (const disk of disks) made.push(await makeDataDisk(place, disk, recoveryKey, Date.now()))
  try {
    await moveOnto(place, made, say)
  } catch (error) {
    // Nothing has happened: they can be used again.
    await unmount(place.archives).catch(() => undefined)
    if (!(await readDataDisks(place))) for (const { luks } of made) await closeLuks(luks).catch(() => undefined)
    throw error
  }
  await settle(place, say)
}

async function moveOnto(place: Place, made: readonly DataDisk[], say: Say): Promise<void> {
  const [first] = made
  if (!first) return
  const device = mappedPath(first.luks)
  const filesystem = await makeBtrfs(
    LUKS_LABEL,
    made.map(({ luks }) => mappedPath(luks)),
  )
  const aside = join(place.run, 'new-data')
  await mkdir(aside, { recursive: true, mode: 0o700 })
  // Mounted anew before it is read back: what is compared then comes from the disks.
  const mountAnew = async (): Promise<void> => {
    await unmount(aside)
    await mount(device, aside, 'btrfs')
  }
  const moving = moveArchives(place.archives, aside, await stat(join(place.home, 'storage')))
  let isStopped = false
  try {
    await mountAnew()
    await moving.copy(say)
    await mountAnew()
    await moving.check(say)
    isStopped = true
    await place.stopStorage()
    await moving.copy(say)
    await mountAnew()
    await moving.check(say)
    await unmount(aside)
    const disks: DataDisks = { version: 1, filesystem, disks: [...made], has_old_copy: true }
    await writeDataDisks(place, disks)
    await mountData(place, 0)
  } finally {
    await unmount(aside)
    if (isStopped) await place.startStorage()
  }
}

async function addDisk(place: Place, before: DataDisks, disks: readonly Device[], recoveryKey: string, say: Say): Promise<void> {
  say({ step: 'format' })
  for (const disk of disks) {
    const made = await makeDataDisk(place, disk, recoveryKey, Date.now())
    await writeDataDisks(place, { ...before, disks: [...before.disks, { ...made, part: 'joining' }] })
  }
  await settle(place, say)
}

/**
 * Puts another disk in the place of one that is failing or gone.
 *
 * @param old  serial number of the data disk that leaves
 * @throws as useDisks; DISKS_NONE; DISK_UNKNOWN  no data disk has this serial number; DISK_MISSING  the archives are not mounted
 */
export async function replaceDisk(place: Place, old: string, confirmed: Confirmed, recoveryKey: string, say: Say): Promise<void> {
  const before = await readDataDisks(place)
  if (!before) throw fault('DISKS_NONE')
  const leaving = before.disks.find(({ serial }) => serial === old)
  if (!leaving || before.disks.some(({ part }) => part !== 'member'))
    throw fault('DISK_UNKNOWN', { expected: 'a data disk, and no other replacing under way', found: old })
  if (!(await isMounted(place.archives))) throw fault('DISK_MISSING', { found: 'the archives are not mounted' })
  const [disk] = await confirmedDisks(place, [confirmed])
  if (!disk) return
  await checkRecoveryKeyOfState(place, recoveryKey)
  const smallest_bytes = Math.min(...(await membersOf(place.archives, before.filesystem)).filter(({ bytes }) => bytes > 0).map(({ bytes }) => bytes))
  // What LUKS keeps for itself.
  const needed_bytes = smallest_bytes + 16 * 1024 * 1024
  if (disk.size < needed_bytes) throw fault('DISK_TOO_SMALL', { expected: `${needed_bytes} bytes`, found: `${disk.size}` })
  say({ step: 'format' })
  const made = await makeDataDisk(place, disk, recoveryKey, Date.now())
  await writeDataDisks(place, {
    ...before,
    disks: [...before.disks.map(one => (one === leaving ? { ...one, part: 'leaving' as const } : one)), { ...made, part: 'joining' }],
  })
  await settle(place, say)
}
