// What `disks.list` answers: every disk of the machine, what is on it, and what may be done with it.
import { contentOf, type Device, disksOf, isUsb, listDevices, serialOf, withAllBelow } from './block-devices.ts'
import { type DataDisk, readDataDisks } from './data-disks.ts'
import { isFailing } from './disk-health.ts'
import { LUKS_LABEL } from './luks.ts'
import type { Place } from './place.ts'

/**
 * system: the appliance runs from it; data: archives lie on it; foreign: a data disk of another appliance; usb: for
 * exports; free: nothing is on it; occupied: something else is.
 */
export type DiskUse = 'system' | 'data' | 'foreign' | 'usb' | 'free' | 'occupied'
export type ListedDisk = {
  readonly serial: string
  readonly model: string
  readonly size_bytes: number
  readonly use: DiskUse
  /** To be confirmed, word for word, by whoever has the disk overwritten. */
  readonly content: string
  readonly is_failing: boolean
}
export type MissingDisk = { readonly serial: string; readonly since_ms: number }

/** @throws PROGRAM_FAILED, DISKS_DAMAGED */
export async function listDisks(place: Place): Promise<{ disks: ListedDisk[]; missing: MissingDisk[] }> {
  const devices = await listDevices()
  const known = (await readDataDisks(place))?.disks ?? []
  const disks: ListedDisk[] = []
  for (const disk of disksOf(devices)) {
    const content = await contentOf(disk)
    disks.push({
      serial: serialOf(disk),
      model: disk.model?.trim() ?? '',
      size_bytes: disk.size,
      use: useOf(disk, known, content, place.stateMapping),
      content,
      is_failing: await isFailing(disk),
    })
  }
  const there = new Set(devices.flatMap(withAllBelow).map(({ uuid }) => uuid))
  return { disks, missing: known.filter(({ luks }) => !there.has(luks)).map(({ serial, since_ms }) => ({ serial, since_ms })) }
}

function useOf(disk: Device, known: readonly DataDisk[], content: string, stateMapping: string): DiskUse {
  const all = withAllBelow(disk)
  if (all.some(({ uuid }) => known.some(({ luks }) => luks === uuid))) return 'data'
  if (all.some(({ name, mountpoints }) => name === stateMapping || mountpoints.some(point => point !== null))) return 'system'
  if (isUsb(disk)) return 'usb'
  if (all.some(({ label, fstype }) => fstype === 'crypto_LUKS' && label === LUKS_LABEL)) return 'foreign'
  return content === 'nothing' ? 'free' : 'occupied'
}
