// The disks of the machine as the system sees them: what they are, what is on them, and which of them may be used.
import { createHash } from 'node:crypto'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { run } from './programs.ts'

const COLUMNS = ['NAME', 'PATH', 'TYPE', 'SIZE', 'SERIAL', 'MODEL', 'TRAN', 'RO', 'FSTYPE', 'LABEL', 'UUID', 'PTTYPE', 'PARTLABEL', 'MOUNTPOINTS']
const Text = Type.Union([Type.String(), Type.Null()])
const Row = Type.Object({
  name: Type.String(),
  path: Type.String(),
  type: Type.String(),
  size: Type.Integer(),
  serial: Text,
  model: Text,
  tran: Text,
  ro: Type.Boolean(),
  fstype: Text,
  label: Text,
  uuid: Text,
  pttype: Text,
  partlabel: Text,
  mountpoints: Type.Array(Text),
  children: Type.Optional(Type.Array(Type.Unknown())),
})
const Listing = Type.Object({ blockdevices: Type.Array(Type.Unknown()) })
const Signatures = Type.Object({ signatures: Type.Array(Type.Object({ type: Type.String(), label: Type.Optional(Text) })) })

/** A disk, a partition, or what is mapped onto one. */
export type Device = Omit<Static<typeof Row>, 'children'> & { readonly children: readonly Device[] }

/** All block devices, each with what lies on it. @throws PROGRAM_FAILED */
export async function listDevices(): Promise<Device[]> {
  // What was connected a moment ago counts too.
  await run('udevadm', ['settle', '--timeout=20'], { isFine: () => true })
  const listing: unknown = JSON.parse(await run('lsblk', ['--json', '--bytes', '--output', COLUMNS.join(',')]))
  if (!Check(Listing, listing)) throw fault('PROGRAM_FAILED', { found: 'lsblk says something else' })
  return listing.blockdevices.map(deviceOf)
}

function deviceOf(row: unknown): Device {
  if (!Check(Row, row)) throw fault('PROGRAM_FAILED', { found: 'lsblk says something else of a device' })
  return { ...row, children: (row.children ?? []).map(deviceOf) }
}

/** A device and all that lies on it. */
export const withAllBelow = (device: Device): Device[] => [device, ...device.children.flatMap(withAllBelow)]

/** The disk or partition with a LUKS header of this UUID. */
export const findLuks = (devices: readonly Device[], uuid: string): Device | undefined =>
  devices.flatMap(withAllBelow).find(device => device.fstype === 'crypto_LUKS' && device.uuid === uuid)

/** The device under a mapping. @throws DISK_UNKNOWN */
export function underMapping(devices: readonly Device[], mapping: string): Device {
  const under = devices.flatMap(withAllBelow).find(device => device.children.some(child => child.type === 'crypt' && child.name === mapping))
  if (!under) throw fault('DISK_UNKNOWN', { expected: `the device under ${mapping}`, found: 'none' })
  return under
}

/** Disks that something could be kept on. */
export const disksOf = (devices: readonly Device[]): Device[] =>
  devices.filter(device => (device.type === 'disk' || device.type === 'loop') && device.size > 0 && !/^(zram|ram|fd|nbd)\d/.test(device.name))

/** What a person finds on the disk's label; a disk without a serial number has the name of its place. */
export const serialOf = (disk: Device): string => disk.serial?.trim() || disk.name

export const isUsb = (disk: Device): boolean => disk.tran === 'usb'

/** The one disk of this serial number. @throws DISK_UNKNOWN */
export function findDisk(devices: readonly Device[], serial: string): Device {
  const found = disksOf(devices).filter(disk => serialOf(disk) === serial)
  if (found.length !== 1 || !found[0]) throw fault('DISK_UNKNOWN', { expected: `one disk ${serial}`, found: `${found.length}` })
  return found[0]
}

/**
 * What is on a disk, in words that a person can recognise it by and confirm; the same words as long as it does not change.
 * Read from the disk itself, not from what the system remembers of it.
 */
export async function contentOf(disk: Device): Promise<string> {
  const own = await signaturesOf(disk.path)
  const parts = await Promise.all(disk.children.filter(({ type }) => type === 'part').map(async part => ({ part, signatures: await signaturesOf(part.path) })))
  if (own.length === 0 && parts.length === 0) return 'nothing'
  const words = [
    ...own.map(({ text }) => text),
    ...parts.map(({ part, signatures }) =>
      [`partition ${part.partlabel || part.name}:`, ...(signatures.length > 0 ? signatures.map(({ text }) => text) : ['nothing'])].join(' '),
    ),
  ]
  // Two disks of one make look alike; the identifiers on them do not.
  const identifiers = [...own, ...parts.flatMap(({ signatures }) => signatures)].map(({ uuid }) => uuid)
  return `${words.join(', ')} (${createHash('sha256').update(identifiers.join(' ')).digest('hex').slice(0, 8)})`
}

async function signaturesOf(path: string): Promise<{ text: string; uuid: string }[]> {
  const said = await run('wipefs', ['--json', '--no-act', '--output', 'TYPE,LABEL,UUID', path])
  // Of a disk without any, it says nothing at all.
  const found: unknown = said.trim() === '' ? { signatures: [] } : JSON.parse(said)
  if (!Check(Signatures, found)) throw fault('PROGRAM_FAILED', { found: 'wipefs says something else' })
  const seen = new Map<string, { text: string; uuid: string }>()
  for (const { type, label, ...rest } of found.signatures) {
    const uuid = 'uuid' in rest && typeof rest.uuid === 'string' ? rest.uuid : ''
    const text = label ? `${type} "${label}"` : type
    seen.set(text, { text, uuid })
  }
  return [...seen.values()]
}
