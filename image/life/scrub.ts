// Once a month everything on the data disks is read and compared with its checksums; what is wrong on one disk is put
// right from the other.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { scrub } from './btrfs.ts'
import { writeWhole } from './durable.ts'
import { isMounted } from './mounts.ts'
import type { Place } from './place.ts'

const Scrub = Type.Object({ ended_ms: Type.Integer({ minimum: 0 }), is_right: Type.Boolean() })
const pathOf = (place: Place): string => join(place.own, 'scrub.json')

/** What the last one found. */
export async function readScrub(place: Place): Promise<Static<typeof Scrub> | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(pathOf(place), 'utf8'))
    return Check(Scrub, value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Does nothing without data disks. @throws PROGRAM_FAILED */
export async function scrubData(place: Place): Promise<void> {
  if (!(await isMounted(place.archives))) return
  const is_right = await scrub(place.archives)
  await writeWhole(pathOf(place), JSON.stringify({ ended_ms: Date.now(), is_right }))
}
