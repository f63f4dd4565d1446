// An appliance's disk in memory, which forgets what was not synced, and what its firmware and boot loader make of it.
import { createHash } from 'node:crypto'
import type { UpdateTarget } from '../../image/update/apply-update.ts'
import { readEntries } from '../../image/update/boot-entries.ts'
import { readPartitions } from '../../image/update/gpt.ts'
import type { Media } from '../../image/update/media.ts'
import { uuidsOf } from '../../image/update/slots.ts'
import { createSimulatedDisk, type SimulatedDisk } from '../appliance/archive/simulated-disk.ts'
import { DISK_BYTES, gptBytes, rowsOf } from './gpt-bytes.ts'
import { MAKER, makeRelease, ROOT_PARTITION_BYTES, type TestRelease, VERITY_PARTITION_BYTES } from './release.ts'

const LINUX = '/esp/EFI/Linux'

export type SimulatedMachine = {
  readonly disk: SimulatedDisk
  readonly target: UpdateTarget
  /** The release that it runs from slot A. */
  readonly installed: TestRelease
  /** What the next start does with these releases: the versions that start, the first one first. Throws if one would break in the middle. */
  bootable(releases: readonly TestRelease[]): Promise<number[]>
  /** The SHA-256 of all that is never to be changed. */
  untouched(): string
}

export async function makeMachine(changes: Partial<UpdateTarget> = {}): Promise<SimulatedMachine> {
  const disk = createSimulatedDisk()
  for (const folder of ['/esp', '/esp/EFI', LINUX]) await disk.makeDirectory(folder)
  for (const folder of ['/', '/esp', '/esp/EFI']) await disk.syncDirectory(folder)
  const installed = makeRelease(1)
  disk.setContent('/disk', gptBytes(rowsOf(ROOT_PARTITION_BYTES, VERITY_PARTITION_BYTES, uuidsOf(installed.root_hash))))
  for (const [number, bytes, content] of [
    [2, ROOT_PARTITION_BYTES, installed.content.root],
    [3, VERITY_PARTITION_BYTES, installed.content.verity],
    [4, ROOT_PARTITION_BYTES, Buffer.alloc(0)],
    [5, VERITY_PARTITION_BYTES, Buffer.alloc(0)],
  ] as const)
    disk.setContent(`/p${number}`, Buffer.concat([content, Buffer.alloc(bytes - content.length)]))
  disk.setContent(`${LINUX}/holdfast_1.efi`, installed.content.uki)

  const media: Media = { ...disk, open: (path, mode) => disk.open(path, mode === 'claim' ? 'append' : mode) }
  const target: UpdateTarget = {
    media,
    disk: '/disk',
    disk_bytes: DISK_BYTES,
    partitionPath: number => `/p${number}`,
    esp: '/esp',
    version: 1,
    running: [2, 3],
    committed: 1,
    key: MAKER.publicKey,
    ...changes,
  }
  const contentOf = (path: string): Buffer => disk.content(path) ?? Buffer.alloc(0)
  return {
    disk,
    target,
    installed,
    untouched: () =>
      createHash('sha256')
        .update(contentOf('/p2'))
        .update(contentOf('/p3'))
        .update(contentOf(`${LINUX}/holdfast_1.efi`))
        .digest('hex'),
    async bootable(releases) {
      const partitions = await readPartitions(media, '/disk', DISK_BYTES)
      const started: number[] = []
      const entries = (await readEntries(media, '/esp')).sort((a, b) => b.version - a.version)
      for (const { name, version, tries_left } of entries) {
        const uki = contentOf(`${LINUX}/${name}`)
        if (uki.toString('latin1', 0, 2) !== 'MZ' || tries_left === 0) continue
        const release = releases.find(one => one.version === version)
        if (!release) continue
        if (!uki.equals(release.content.uki)) throw new Error(`the UKI of version ${version} starts, and is not whole`)
        for (const part of ['root', 'verity'] as const) {
          const found = partitions.filter(({ uuid }) => uuid === uuidsOf(release.root_hash)[part])
          const content = release.content[part]
          const [partition] = found
          const onDisk = partition && contentOf(`/p${partition.number}`)
          if (found.length !== 1 || !onDisk?.subarray(0, content.length).equals(content))
            throw new Error(`the UKI of version ${version} starts, and its ${part} is not whole`)
        }
        started.push(version)
      }
      return started
    },
  }
}
