// Makes the data disks what their list says: brings a new one in, lets one go, gives one that was away what it missed.
// It can be interrupted anywhere and begun again; what it did is not done twice.

import { chmod, chown, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Say } from '#image-update/act.ts'
import { findLuks, listDevices } from './block-devices.ts'
import { addDevice, awaitReplace, forgetErrors, keepTwice, membersOf, replaceDevice, scrub, useWholeDevice } from './btrfs.ts'
import { type DataDisks, readDataDisks, writeDataDisks } from './data-disks.ts'
import { fault } from './errors.ts'
import { closeLuks, eraseLuks, mappedPath } from './luks.ts'
import { isMounted, mount, unmount } from './mounts.ts'
import type { Place } from './place.ts'

/** Whether there is something to be done. */
export const isUnsettled = ({ disks, has_old_copy }: DataDisks): boolean => has_old_copy || disks.some(({ part, is_stale }) => part !== 'member' || is_stale)

/** @throws DISKS_NONE, DISK_MISSING  the archives are not mounted, or a disk is away that is wanted; PROGRAM_FAILED */
export async function settle(place: Place, say: Say): Promise<void> {
  const disks = await readDataDisks(place)
  if (!disks) throw fault('DISKS_NONE')
  if (!(await isMounted(place.archives))) throw fault('DISK_MISSING', { found: 'the archives are not mounted' })
  if (disks.has_old_copy) await removeOldCopy(place, disks)
  const now = await readDataDisks(place)
  if (now && isUnsettled(now)) await settleDisks(place, now, say)
}

async function settleDisks(place: Place, disks: DataDisks, say: Say): Promise<void> {
  const { archives } = place
  const devices = await listDevices()
  const staying = disks.disks.filter(({ part }) => part !== 'leaving')
  const away = staying.find(({ luks }) => !findLuks(devices, luks))
  if (away) throw fault('DISK_MISSING', { expected: `${away.serial}, or another one instead of it` })
  await awaitReplace(archives)
  const joining = disks.disks.find(({ part }) => part === 'joining')
  const leaving = disks.disks.find(({ part }) => part === 'leaving')
  const members = async () => membersOf(archives, disks.filesystem)
  if (joining) {
    const path = mappedPath(joining.luks)
    if (!(await members()).some(member => member.path === path)) {
      say({ step: leaving ? 'replace' : 'add' })
      // The one that leaves may be gone already.
      const old = leaving && (await members()).find(member => member.path === mappedPath(leaving.luks) || member.isMissing)
      if (old) await replaceDevice(archives, old.devid, path)
      else await addDevice(archives, path)
    }
    const own = (await members()).find(member => member.path === path)
    if (own) await useWholeDevice(archives, own.devid)
  }
  if (staying.length === 2) {
    if (staying.some(({ is_stale }) => is_stale)) {
      say({ step: 'scrub' })
      await scrub(archives)
    }
    say({ step: 'balance' })
    await keepTwice(archives)
  }
  await forgetErrors(archives)
  if (leaving) {
    // Nobody shall open it wherever it goes; one that can't be written any more is left as it is.
    const device = findLuks(devices, leaving.luks)
    if (device) await eraseLuks(device.path).catch(() => undefined)
    await closeLuks(leaving.luks).catch(() => undefined)
  }
  await writeDataDisks(place, { ...disks, disks: staying.map(disk => ({ ...disk, part: 'member', is_stale: false })) })
}

/**
 * What the archives were before they were moved, under the mounted disks. The empty folder that stays belongs to root:
 * should the disks not be mounted one day, nothing can be written in their place.
 */
async function removeOldCopy(place: Place, disks: DataDisks): Promise<void> {
  const under = join(place.run, 'under')
  await mkdir(under, { recursive: true, mode: 0o700 })
  await unmount(under)
  await mount(join(place.home, 'storage'), under, 'none', ['bind'])
  try {
    const old = join(under, 'archives')
    for (const name of await readdir(old)) await rm(join(old, name), { recursive: true, force: true })
    await chown(old, 0, 0)
    await chmod(old, 0o700)
  } finally {
    await unmount(under)
  }
  await writeDataDisks(place, { ...disks, has_old_copy: false })
}
