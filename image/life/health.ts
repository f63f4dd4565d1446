// Looks at the machine: disks, room, services. Once a minute by a timer; says what is wrong in /run/holdfast/attention.json.
// What can be put right without anybody is: disks that are back are taken in again, an interrupted change goes on.
import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { isFault } from '#protocol/fault.ts'
import { type Concern, readAttention, writeAttention } from './attention.ts'
import { findLuks, listDevices } from './block-devices.ts'
import { membersOf } from './btrfs.ts'
import { readDataDisks } from './data-disks.ts'
import { isFailing } from './disk-health.ts'
import { isMounted } from './mounts.ts'
import type { Place } from './place.ts'
import { run } from './programs.ts'
import { readScrub } from './scrub.ts'
import { isUnsettled } from './settle.ts'

/** Said when less is free. */
const FREE_SHARE_MIN = 0.1
/** What the storage node keeps free: RESERVE_BYTES of its engine. */
export const ARCHIVES_RESERVE_BYTES = 512 * 1024 * 1024
const SCRUB_LATE_MS = 62 * 24 * 3600 * 1000

/** Everything that is of concern now; written to the attention file too. */
export async function look(place: Place, now_ms: number): Promise<readonly Concern[]> {
  const concerns = [...(await disksOf(place, now_ms)), ...(await roomOf(place)), ...(await servicesOf())]
  await writeAttention(place, concerns, now_ms)
  return concerns
}

async function disksOf(place: Place, now_ms: number): Promise<Concern[]> {
  let disks: Awaited<ReturnType<typeof readDataDisks>>
  try {
    disks = await readDataDisks(place)
  } catch (error) {
    if (!isFault(error)) throw error
    return [{ code: 'disks-damaged', text: error.message }]
  }
  if (!disks) return []
  const concerns: Concern[] = []
  const devices = await listDevices()
  const isThere = await isMounted(place.archives)
  for (const { serial, luks, is_stale } of disks.disks) {
    const device = findLuks(devices, luks)
    if (!device) concerns.push({ code: 'disk-missing', text: `Data disk ${serial} is missing. Connect it, with the appliance switched off, or replace it.` })
    else if (await isFailing(device)) concerns.push({ code: 'disk-failing', text: `Data disk ${serial} says that it is failing. Replace it soon.` })
    else if (is_stale)
      concerns.push({ code: 'disk-behind', text: `Data disk ${serial} was away and does not have everything yet. If this stays, restart the appliance.` })
  }
  if (!isThere) concerns.push({ code: 'archives-away', text: 'The archives are not there: no backups and no restores until the data disks are.' })
  if (isThere) {
    for (const { path, errors } of await membersOf(place.archives, disks.filesystem)) {
      const serial = disks.disks.find(({ luks }) => path.endsWith(luks.slice(0, 8)))?.serial ?? path
      if (errors > 0)
        concerns.push({
          code: 'disk-errors',
          text: `Data disk ${serial} had ${errors} errors. Archives stay whole as long as the other disk does; replace this one.`,
        })
    }
    const scrub = await readScrub(place)
    if (scrub?.is_right === false)
      concerns.push({ code: 'scrub-damage', text: 'Some of what is on the data disks is damaged beyond repair: see holdfast-appliance reindex --thorough.' })
    if (scrub && scrub.ended_ms + SCRUB_LATE_MS < now_ms) concerns.push({ code: 'scrub-late', text: 'The data disks were not read through for two months.' })
  }
  return concerns
}

async function roomOf(place: Place): Promise<Concern[]> {
  const concerns: Concern[] = []
  // Before there is a site, there are no archives.
  const archives = await roomIn(existsSync(place.archives) ? place.archives : place.home, ARCHIVES_RESERVE_BYTES)
  if (archives.isShort)
    concerns.push({
      code: 'archives-full',
      text: `The disk of the archives is nearly full: ${archives.left_mib} MiB are left for backups. Restores go on. Use larger data disks.`,
    })
  const state = await roomIn(place.home, 0)
  if (state.isShort && (await isMounted(place.archives)))
    concerns.push({ code: 'state-full', text: `The encrypted state is nearly full: ${state.left_mib} MiB are left.` })
  return concerns
}

async function roomIn(path: string, reserve_bytes: number): Promise<{ left_mib: number; isShort: boolean }> {
  const { bavail, blocks, bsize } = await statfs(path)
  const left_bytes = Math.max(0, bavail * bsize - reserve_bytes)
  return { left_mib: Math.floor(left_bytes / 1024 / 1024), isShort: left_bytes < blocks * bsize * FREE_SHARE_MIN }
}

async function servicesOf(): Promise<Concern[]> {
  const said = await run('systemctl', ['list-units', '--failed', '--plain', '--no-legend'], { isFine: () => true }).catch(() => '')
  const failed = said
    .split('\n')
    .map(line => line.trim().split(/\s+/)[0] ?? '')
    .filter(Boolean)
  return failed.length === 0 ? [] : [{ code: 'service-failed', text: `Not running as it should: ${failed.join(', ')}. Fetch a support bundle.`.slice(0, 500) }]
}

/** Starts what can be gone on with; each start does nothing if it runs. */
export async function goOn(place: Place): Promise<void> {
  const disks = await readDataDisks(place)
  if (!disks) return
  const devices = await listDevices()
  const isAllThere = disks.disks.every(({ luks, part }) => part === 'leaving' || findLuks(devices, luks))
  const isThere = await isMounted(place.archives)
  if (!isThere && isAllThere) await run('systemctl', ['start', '--no-block', 'holdfast-data.service', 'holdfast-storage.service'])
  if (isThere && isAllThere && isUnsettled(disks)) await run('systemctl', ['start', '--no-block', 'holdfast-settle.service'])
}

/** For `status`: what was found last. */
export const lastFound = (place: Place) => readAttention(join(place.run, 'attention.json'))
