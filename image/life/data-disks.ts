// The list of the data disks, on the encrypted state: which there are, and what still has to be done with them. It says
// what shall be; settle.ts makes it so. Invariants:
//   without the file, archives lie on the state;
//   a disk is in the list before the file system may lie on it, and out of it after it does no longer;
//   a disk that missed writes is `stale` from before the first write that it missed, until it has all of them.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { writeWhole } from './durable.ts'
import { fault } from './errors.ts'
import type { Place } from './place.ts'

const Uuid = Type.String({ pattern: '^[0-9a-f-]{36}$' })
const DataDisk = Type.Object({
  serial: Type.String({ maxLength: 200 }),
  /** Of its LUKS header: by this it is found, wherever it is connected. */
  luks: Uuid,
  since_ms: Type.Integer({ minimum: 0 }),
  /** joining: not everything is on it yet; leaving: another one takes its place. */
  part: Type.Union([Type.Literal('member'), Type.Literal('joining'), Type.Literal('leaving')]),
  is_stale: Type.Boolean(),
})
export type DataDisk = Static<typeof DataDisk>

const DataDisks = Type.Object({
  version: Type.Literal(1),
  /** Of the btrfs. */
  filesystem: Uuid,
  disks: Type.Array(DataDisk, { minItems: 1, maxItems: 3 }),
  /** Archives as they were before they were moved still lie on the state, under the mounted disks. */
  has_old_copy: Type.Boolean(),
})
export type DataDisks = Static<typeof DataDisks>

const pathOf = (place: Place): string => join(place.own, 'disks.json')

/** undefined: archives lie on the state. @throws DISKS_DAMAGED */
export async function readDataDisks(place: Place): Promise<DataDisks | undefined> {
  let text: string
  try {
    text = await readFile(pathOf(place), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault('DISKS_DAMAGED', { found: (error as NodeJS.ErrnoException).code ?? 'an error', cause: error })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw fault('DISKS_DAMAGED', { found: 'no JSON', cause })
  }
  if (!Check(DataDisks, value)) throw fault('DISKS_DAMAGED', { found: 'another shape' })
  return value
}

/** Durable when it returns. */
export const writeDataDisks = (place: Place, disks: DataDisks): Promise<void> => writeWhole(pathOf(place), JSON.stringify(disks))
