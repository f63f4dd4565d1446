// The machine as an update finds it: which disk and partitions its root is on, told by the kernel and not by names or UUIDs,
// which a stick with another appliance's image could have, too.
import { createPublicKey } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import Type from 'typebox'
import { Check } from 'typebox/value'
import type { UpdateTarget } from './apply-update.ts'
import { readCommitted } from './committed.ts'
import { fault } from './errors.ts'
import { machineMedia } from './machine-media.ts'

const RELEASE = '/usr/lib/holdfast'
/** Where systemd mounts the ESP. */
const ESPS = ['/efi', '/boot']
/** The kernel counts disks in these, whatever their sectors are. */
const SYSFS_BLOCK_BYTES = 512

const ReleaseFile = Type.Object({ version: Type.Integer({ minimum: 1 }) })

/** The version of the release that runs. @throws SLOTS_UNKNOWN */
export function runningVersion(): number {
  const value: unknown = JSON.parse(readFileSync(join(RELEASE, 'release.json'), 'utf8'))
  if (!Check(ReleaseFile, value)) throw fault('SLOTS_UNKNOWN', { expected: 'a version in release.json', found: 'none' })
  return value.version
}

/** @throws SLOTS_UNKNOWN  on a machine that does not run from a slot */
export async function thisMachine(): Promise<UpdateTarget> {
  const partitions = partitionsUnder('/')
  const disks = new Set(partitions.map(partition => dirname(partition)))
  const [disk] = disks
  if (disk === undefined || disks.size !== 1) throw fault('SLOTS_UNKNOWN', { expected: 'a root with its hashes on one disk', found: `${disks.size} disks` })
  return {
    media: machineMedia,
    disk: join('/dev', basename(disk)),
    disk_bytes: numberIn(disk, 'size') * SYSFS_BLOCK_BYTES,
    partitionPath: number => {
      const found = readdirSync(disk).find(name => existsSync(join(disk, name, 'partition')) && numberIn(disk, name, 'partition') === number)
      if (found === undefined) throw fault('SLOTS_UNKNOWN', { expected: `partition ${number} of the disk`, found: 'none' })
      return join('/dev', found)
    },
    esp: espOf(),
    version: runningVersion(),
    running: partitions.map(partition => numberIn(partition, 'partition')),
    committed: await readCommitted(),
    key: createPublicKey(readFileSync(join(RELEASE, 'update-key.pem'))),
  }
}

/** Where the ESP is mounted. @throws SLOTS_UNKNOWN */
export function espOf(): string {
  const esp = ESPS.find(folder => existsSync(join(folder, 'EFI/Linux')))
  if (esp === undefined) throw fault('SLOTS_UNKNOWN', { expected: `the ESP at ${ESPS.join(' or ')}`, found: 'none' })
  return esp
}

/** The partitions, as folders of sysfs, that the device of a mounted folder is made of. */
function partitionsUnder(folder: string): string[] {
  const { dev } = statSync(folder, { bigint: true })
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn)
  const slaves = `/sys/dev/block/${major}:${minor}/slaves`
  const found = existsSync(slaves) ? readdirSync(slaves).map(name => realpathSync(join(slaves, name))) : []
  if (found.length !== 2 || found.some(path => !existsSync(join(path, 'partition'))))
    throw fault('SLOTS_UNKNOWN', { expected: 'a root that is checked by dm-verity', found: 'another' })
  return found
}

const numberIn = (...path: readonly string[]): number => Number(readFileSync(join(...path), 'utf8'))
