// The archives onto their place: opens the data disks and mounts them, as far as they are there. Invariants:
//   archives are mounted whole (from one disk of two, if need be), or not at all, and then the storage node does not start;
//   what one disk misses is written down before anything is written to the other, and such a disk is never used alone.
import { setTimeout as pause } from 'node:timers/promises'
import { isFault } from '#protocol/fault.ts'
import { type Device, findLuks, listDevices } from './block-devices.ts'
import { type DataDisk, type DataDisks, readDataDisks, writeDataDisks } from './data-disks.ts'
import { fault } from './errors.ts'
import { closeLuks, mappedPath, mappingOf, openLuks } from './luks.ts'
import { isMounted, mount } from './mounts.ts'
import type { Place } from './place.ts'
import { run } from './programs.ts'

const LOOK_AGAIN_MS = 1000

export type Mounted = { readonly is: 'on the state' } | { readonly is: 'mounted'; readonly missing: readonly DataDisk[] }

/**
 * Does nothing if the archives are in their place.
 *
 * @param wait_ms  for disks that are slow to appear
 * @throws DISK_MISSING, DISK_STALE, DISKS_DAMAGED, PROGRAM_FAILED
 */
export async function mountData(place: Place, wait_ms: number): Promise<Mounted> {
  const disks = await readDataDisks(place)
  if (!disks) return { is: 'on the state' }
  const open = await openAll(place, disks, wait_ms)
  const missing = disks.disks.filter(disk => !open.includes(disk))
  if (await isMounted(place.archives)) return { is: 'mounted', missing }
  const holding = open.filter(({ part, is_stale }) => part !== 'joining' && !is_stale)
  const [first] = holding
  if (!first)
    throw fault(open.length > 0 ? 'DISK_STALE' : 'DISK_MISSING', {
      expected: disks.disks.map(({ serial }) => serial).join(', '),
      found: open.map(({ serial }) => serial).join(', ') || 'none',
    })
  try {
    await mountBtrfs(place, first, [])
  } catch (error) {
    if (missing.length === 0 || !isFault(error, 'PROGRAM_FAILED')) throw error
    const now = { ...disks, disks: disks.disks.map(disk => (missing.includes(disk) ? { ...disk, is_stale: true } : disk)) }
    await writeDataDisks(place, now)
    await mountBtrfs(place, first, ['degraded'])
  }
  return { is: 'mounted', missing }
}

/** An unfinished balance waits until it is gone on with. */
const mountBtrfs = (place: Place, { luks }: DataDisk, options: readonly string[]): Promise<void> =>
  mount(mappedPath(luks), place.archives, 'btrfs', ['skip_balance', ...options])

/** Those that are there and open. */
async function openAll(place: Place, { disks }: DataDisks, wait_ms: number): Promise<DataDisk[]> {
  const until_ms = performance.now() + wait_ms
  let devices = await listDevices()
  while (disks.some(({ luks }) => !findLuks(devices, luks)) && performance.now() < until_ms) {
    await pause(LOOK_AGAIN_MS)
    devices = await listDevices()
  }
  const open: DataDisk[] = []
  for (const disk of disks) if (await openOne(place, findLuks(devices, disk.luks), disk.luks)) open.push(disk)
  await run('btrfs', ['device', 'scan', ...open.map(({ luks }) => mappedPath(luks))])
  return open
}

async function openOne(place: Place, device: Device | undefined, luks: string): Promise<boolean> {
  if (!device) return false
  if (device.children.some(({ name }) => name === mappingOf(luks))) return true
  try {
    // One that is left over from a disk that was pulled and came back is of no use.
    await closeLuks(luks)
    await openLuks(place, device.path, luks)
    return true
  } catch (error) {
    // A disk that can't be read is like one that is not there.
    process.stderr.write(`${(error as Error).message}\n`)
    return false
  }
}
