// A USB disk that somebody connected: whatever file system it has, as long as the system knows it.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Device, findDisk, isUsb, listDevices, withAllBelow } from './block-devices.ts'
import { fault } from './errors.ts'
import { mount, unmount } from './mounts.ts'
import type { Place } from './place.ts'

/** File systems that are taken, as lsblk and mount call them; more would only be more of the kernel for a hostile disk to try. */
const TYPES = new Set(['vfat', 'exfat', 'ext4'])

export type UsbDisk = {
  /** Where it is mounted. */
  readonly folder: string
  /** Writes out, unmounts and mounts it: what is read then comes from the disk. */
  remount(): Promise<void>
}

/**
 * Mounts a USB disk while something is done with it; when this returns it can be pulled.
 *
 * @throws DISK_UNKNOWN, DISK_NOT_FREE, USB_UNREADABLE
 */
export async function withUsbDisk<Result>(place: Place, serial: string, isWritten: boolean, act: (disk: UsbDisk) => Promise<Result>): Promise<Result> {
  const disk = findDisk(await listDevices(), serial)
  const all = withAllBelow(disk)
  if (!isUsb(disk)) throw fault('DISK_NOT_FREE', { found: `${serial} is no USB disk` })
  const folder = join(place.run, 'usb-disk')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await unmount(folder)
  if (all.some(({ mountpoints }) => mountpoints.some(point => point !== null))) throw fault('DISK_NOT_FREE', { found: `${serial} is in use` })
  const volume = largestVolume(all)
  if (!volume)
    throw fault('USB_UNREADABLE', {
      found:
        all
          .map(({ fstype }) => fstype)
          .filter(type => type !== null)
          .join(', ') || 'none',
    })
  const { path, type } = volume
  const mountIt = (): Promise<void> => mount(path, folder, type, [isWritten ? 'rw' : 'ro'])
  await mountIt()
  try {
    return await act({
      folder,
      remount: async () => {
        await unmount(folder)
        await mountIt()
      },
    })
  } finally {
    await unmount(folder)
  }
}

function largestVolume(all: readonly Device[]): { path: string; type: string } | undefined {
  const known = all.flatMap(({ path, fstype, size }) => (fstype !== null && TYPES.has(fstype) ? [{ path, type: fstype, size }] : []))
  return known.sort((a, b) => b.size - a.size)[0]
}
