// The file system of the data disks. One disk: data once, metadata twice; two: everything on both (raid1). Everything has
// a checksum, and what is wrong on one disk is read from the other, and put right.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Check, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { run } from './programs.ts'

const SHOWN = /^\s*devid\s+(\d+)\s+size\s+(\d+)\s+used\s+(\d+)\s+path\s+(\S.*)$/gm
const Counter = Type.Union([Type.String({ pattern: '^[0-9]+$' }), Type.Integer({ minimum: 0 })])
const Stats = Type.Object({
  'device-stats': Type.Array(
    Type.Object({
      device: Type.String(),
      devid: Counter,
      write_io_errs: Counter,
      read_io_errs: Counter,
      flush_io_errs: Counter,
      corruption_errs: Counter,
      generation_errs: Counter,
    }),
  ),
})
/** `btrfs scrub` ends with this if it found what it could not put right. */
const UNCORRECTABLE = 3

export type Member = { readonly devid: number; readonly path: string; readonly bytes: number; readonly isMissing: boolean; readonly errors: number }

/** Makes the file system over mapped devices. */
export async function makeBtrfs(label: string, devices: readonly string[]): Promise<string> {
  const profiles = devices.length === 1 ? ['--data', 'single', '--metadata', 'dup'] : ['--data', 'raid1', '--metadata', 'raid1']
  await run('mkfs.btrfs', ['--force', '--quiet', '--label', label, ...profiles, ...devices])
  return (await run('blkid', ['--probe', '--match-tag', 'UUID', '--output', 'value', devices[0] ?? ''])).trim()
}

/** The devices of a mounted file system, those that are gone included. */
export async function membersOf(path: string, uuid: string): Promise<Member[]> {
  const stats: unknown = JSON.parse(await run('btrfs', ['--format', 'json', 'device', 'stats', path]))
  if (!Check(Stats, stats)) throw fault('PROGRAM_FAILED', { found: 'btrfs says something else of its devices' })
  const shown = new Map(
    [...(await run('btrfs', ['filesystem', 'show', '--raw', path])).matchAll(SHOWN)].map(([, devid, bytes, , device]) => [
      Number(devid),
      { bytes: Number(bytes), device: device ?? '' },
    ]),
  )
  const devices = join('/sys/fs/btrfs', uuid, 'devinfo')
  return Promise.all(
    (await readdir(devices)).map(async name => {
      const devid = Number(name)
      const own = stats['device-stats'].find(one => Number(one.devid) === devid)
      const errors = own ? [own.write_io_errs, own.read_io_errs, own.flush_io_errs, own.corruption_errs, own.generation_errs] : []
      return {
        devid,
        path: shown.get(devid)?.device ?? own?.device ?? '',
        bytes: shown.get(devid)?.bytes ?? 0,
        isMissing: (await readFile(join(devices, name, 'missing'), 'utf8')).trim() === '1',
        errors: errors.reduce<number>((sum, count) => sum + Number(count), 0),
      }
    }),
  )
}

/** Reads everything and puts right what can be; false if something could not. */
export async function scrub(path: string): Promise<boolean> {
  let isRight = true
  await run('btrfs', ['scrub', 'start', '-B', path], {
    isFine: code => {
      isRight = code !== UNCORRECTABLE
      return code === 0 || code === UNCORRECTABLE
    },
  })
  return isRight
}

export const addDevice = (path: string, device: string): Promise<string> => run('btrfs', ['device', 'add', '--force', device, path])

/** Writes everything that was on one device onto another; goes on by itself after a restart. */
export const replaceDevice = (path: string, devid: number, device: string): Promise<string> =>
  run('btrfs', ['replace', 'start', '-B', '-r', '-f', `${devid}`, device, path])

/** Waits for a replacing that is under way. */
export const awaitReplace = (path: string): Promise<string> => run('btrfs', ['replace', 'status', path])

export const useWholeDevice = (path: string, devid: number): Promise<string> => run('btrfs', ['filesystem', 'resize', `${devid}:max`, path])

/** Everything on both disks, also what was written while there was one; only what is not yet is written again. */
export async function keepTwice(path: string): Promise<void> {
  await run('btrfs', ['balance', 'cancel', path], { isFine: () => true })
  await run('btrfs', ['balance', 'start', '-f', '-dconvert=raid1,soft', '-mconvert=raid1,soft', path])
}

export const forgetErrors = (path: string): Promise<string> => run('btrfs', ['device', 'stats', '--reset', path])
