// Factory reset: everything that was kept here is gone for good, because its keys are; then the machine starts as it came.
// It takes two: somebody who asks for it (an administrator), and somebody who reads a word from the machine's screen. The
// word is shown nowhere else, so a stolen password destroys nothing. Once it was typed right, that is written down, and
// whatever interrupts what follows, the next start goes on with it.
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Check, Type } from '#protocol/typebox.js'
import { showOnScreen } from './attention.ts'
import { type Device, disksOf, findLuks, listDevices, underMapping, withAllBelow } from './block-devices.ts'
import { type DataDisk, readDataDisks } from './data-disks.ts'
import { syncFolder, writeWhole } from './durable.ts'
import { fault } from './errors.ts'
import { eraseLuks } from './luks.ts'
import type { Place } from './place.ts'
import { run } from './programs.ts'

export const RESET_WORD_MS = 10 * 60_000
/** Nothing that looks like something else. */
const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'
const WORD_LETTERS = 8

const Asked = Type.Object({ word: Type.String(), until_ms: Type.Integer() })
const askedFile = (place: Place): string => join(place.run, 'reset-asked.json')
const confirmedFile = (place: Place): string => join(place.own, 'reset-confirmed')

/** Shows the word on the screen; an earlier one is no longer good. */
export async function askReset(place: Place, now_ms: number): Promise<{ until_ms: number }> {
  const word = Array.from({ length: WORD_LETTERS }, () => LETTERS[randomInt(LETTERS.length)] ?? '').join('')
  const until_ms = now_ms + RESET_WORD_MS
  await writeWhole(askedFile(place), JSON.stringify({ word, until_ms }))
  const text = `A factory reset was asked for: ALL BACKUPS AND SETTINGS WOULD BE DESTROYED. To do it, confirm with the word ${word} within 10 minutes. To keep everything, do nothing.`
  await showOnScreen(place, [{ code: 'reset-asked', text, since_ms: now_ms }])
  return { until_ms }
}

/**
 * With the right word, writes down that it is to be done; one try a word.
 *
 * @throws RESET_NOT_ASKED, RESET_WORD_WRONG
 */
export async function confirmReset(place: Place, word: string, now_ms: number): Promise<void> {
  const asked: unknown = await readFile(askedFile(place), 'utf8')
    .then(JSON.parse)
    .catch(() => undefined)
  await rm(askedFile(place), { force: true })
  await showOnScreen(place, [])
  if (!Check(Asked, asked) || asked.until_ms < now_ms) throw fault('RESET_NOT_ASKED')
  if (word.toUpperCase() !== asked.word) throw fault('RESET_WORD_WRONG')
  await writeWhole(confirmedFile(place), '')
}

export const isResetConfirmed = (place: Place): boolean => existsSync(confirmedFile(place))

/**
 * Destroys the keys of all disks and takes the state out of the partition table; the next start makes it anew. The data
 * disks come first: what is left to be done is known only as long as the state can be read.
 *
 * @returns the data disks that are not erased; nobody knows of them afterwards
 * @throws PROGRAM_FAILED  the state is not destroyed; the next start tries again
 */
export async function destroyEverything(place: Place): Promise<readonly string[]> {
  const devices = await listDevices()
  const state = underMapping(devices, place.stateMapping)
  const notErased = await eraseDataDisks(luks => findLuks(devices, luks)?.path, (await readDataDisks(place).catch(() => undefined))?.disks ?? [])
  await rm(join(place.own, 'data-disks.key'), { force: true })
  await syncFolder(place.own)
  const disk = disksOf(devices).find(one => withAllBelow(one).includes(state))
  // A partition that is gone would have everything stopped that lives on it, this process with it, before the rest is done.
  await run('udevadm', ['control', '--stop-exec-queue'], { isFine: () => true })
  try {
    // If the power fails between the two: without its partition the state is made anew over the old place, keys and all.
    if (disk && disk !== state) await run('sfdisk', ['--no-reread', '--no-tell-kernel', '--force', '--quiet', '--delete', disk.path, partitionNumber(state)])
    await eraseLuks(state.path)
    await run('wipefs', ['--all', '--force', '--quiet', state.path], { isFine: () => true })
    await run('sync', [])
  } catch (error) {
    await hearOfDevicesAgain()
    throw error
  }
  return notErased
}

/**
 * A disk that is away or fails does not keep the others from being erased: what is on it opens with the recovery key only.
 *
 * @param pathOf  where the disk with a header of this UUID is, if it is there
 * @returns the serial numbers of those that are not erased
 */
export async function eraseDataDisks(pathOf: (luks: string) => string | undefined, disks: readonly DataDisk[]): Promise<readonly string[]> {
  const notErased: string[] = []
  for (const { serial, luks } of disks) {
    try {
      const path = pathOf(luks)
      if (path === undefined) throw fault('DISK_UNKNOWN', { expected: `the data disk ${serial}`, found: 'none' })
      await eraseLuks(path)
    } catch (error) {
      process.stderr.write(`${serial} is not erased: ${(error as Error).message}\n`)
      notErased.push(serial)
    }
  }
  return notErased
}

/** Otherwise a restart does that. */
export const hearOfDevicesAgain = (): Promise<string> => run('udevadm', ['control', '--start-exec-queue'], { isFine: () => true })

const partitionNumber = (partition: Device): string => /\d+$/.exec(partition.name)?.[0] ?? ''

/** At once, and without asking anything that would want to write to what is gone. */
export const restartAtOnce = (): Promise<string> => run('systemctl', ['reboot', '--force', '--force'])
