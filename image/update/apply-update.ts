// Writes a release to the slot that does not run, and makes it the next to be tried. UPDATE.md, "Writing, step by step",
// says what a power cut leaves at each step; the numbers here are its.
import type { KeyObject } from 'node:crypto'
import { isFault } from '#protocol/fault.ts'
import type { Say } from './act.ts'
import { awake, readEntries, removeOtherEntries, trialPathOf, wake, writeDormant } from './boot-entries.ts'
import { readBundle } from './bundle.ts'
import { fault } from './errors.ts'
import { readPartitions, renamePartitions } from './gpt.ts'
import { type Manifest, openManifest } from './manifest.ts'
import type { Media, MediaFile } from './media.ts'
import { checked, checkWritten, writeSlot } from './slot-writer.ts'
import { otherSlot, type Slot, uuidsOf } from './slots.ts'

/** What an update has to know of the machine that it runs on. */
export type UpdateTarget = {
  readonly media: Media
  /** Of the whole disk. */
  readonly disk: string
  readonly disk_bytes: number
  /** The device of a partition of it. */
  readonly partitionPath: (number: number) => string
  /** Where the ESP is mounted. */
  readonly esp: string
  readonly version: number
  /** Numbers of the partitions that the running root is made of. */
  readonly running: readonly number[]
  /** The highest release that was ever kept on this machine. */
  readonly committed: number
  /** Ed25519, public: of the maker of this appliance. */
  readonly key: KeyObject
}

/** Progress is said once for so many bytes. */
const SAY_BYTES = 32 * 1024 * 1024

/**
 * Writes the release of a bundle. When it returns, the next start tries it; before, nothing of what runs or starts next
 * has changed.
 *
 * @param source  a bundle; read to its end
 * @throws UPDATE_NOT_SIGNED, UPDATE_INVALID, UPDATE_OTHER_PRODUCT, UPDATE_NOT_NEWER, UPDATE_TOO_LARGE, UPDATE_ON_TRIAL,
 *         SLOTS_UNKNOWN, UPDATE_BUSY   nothing was written
 *         UPDATE_DAMAGED, SLOT_UNWRITABLE   the other slot is used up
 */
export async function applyUpdate(source: AsyncIterable<Uint8Array>, target: UpdateTarget, say: Say): Promise<{ version: number }> {
  const { media, esp, key, version } = target
  const bundle = readBundle(source)
  const manifest = openManifest(await bundle.head(), key)
  const slot = otherSlot(await readPartitions(media, target.disk, target.disk_bytes), target.running)
  await refuse(manifest, slot, target)

  const claimed: MediaFile[] = []
  try {
    for (const part of [slot.root, slot.verity]) claimed.push(await claim(target, part.number))
    const [root, verity] = claimed as [MediaFile, MediaFile]
    await removeOtherEntries(media, esp, version)
    const { artifacts } = manifest
    await writeSlot(root, checked(bundle.take(artifacts.root.bytes), artifacts.root), bytes => {
      if (bytes % SAY_BYTES === 0) say({ step: 'writing', bytes, of_bytes: artifacts.root.bytes })
    })
    await writeSlot(verity, checked(bundle.take(artifacts.verity.bytes), artifacts.verity), () => {})
    const uki = trialPathOf(esp, manifest.version)
    try {
      await writeDormant(media, uki, checked(bundle.take(artifacts.uki.bytes), artifacts.uki))
      await bundle.end()
      say({ step: 'reading back' })
      await checkWritten(root, artifacts.root)
      await checkWritten(verity, artifacts.verity)
      await checkUki(media, uki, artifacts.uki)
    } catch (error) {
      // It is no program, and the next update would remove it; this only gives its space back sooner.
      await media.remove(uki).catch(() => undefined)
      throw error
    }
    const uuids = uuidsOf(manifest.root_hash)
    const label = `holdfast_${manifest.version}`
    await renamePartitions(media, target.disk, target.disk_bytes, [
      { number: slot.root.number, uuid: uuids.root, label },
      { number: slot.verity.number, uuid: uuids.verity, label },
    ])
    await wake(media, uki)
  } catch (error) {
    throw isFault(error) ? error : fault('SLOT_UNWRITABLE', { found: error instanceof Error ? error.message : 'an error', cause: error })
  } finally {
    for (const file of claimed) await file.close()
  }
  return { version: manifest.version }
}

/** All that can be known before anything is written. */
async function refuse(manifest: Manifest, slot: Slot, target: UpdateTarget): Promise<void> {
  const newest = Math.max(target.version, target.committed)
  if (manifest.version <= newest) throw fault('UPDATE_NOT_NEWER', { expected: `a version above ${newest}`, found: `${manifest.version}` })
  for (const name of ['root', 'verity'] as const) {
    const { bytes } = manifest.artifacts[name]
    if (bytes > slot[name].bytes) throw fault('UPDATE_TOO_LARGE', { expected: `at most ${slot[name].bytes} bytes of ${name}`, found: `${bytes}` })
  }
  const own = (await readEntries(target.media, target.esp)).filter(entry => entry.version === target.version)
  if (own.length === 0) throw fault('SLOTS_UNKNOWN', { expected: `the UKI of version ${target.version} on the ESP`, found: 'none' })
  if (own.every(entry => entry.tries_left !== undefined)) throw fault('UPDATE_ON_TRIAL')
}

async function claim({ media, partitionPath }: UpdateTarget, number: number): Promise<MediaFile> {
  return media.open(partitionPath(number), 'claim').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EBUSY' ? fault('UPDATE_BUSY', { cause: error }) : error
  })
}

async function checkUki(media: Media, path: string, artifact: Manifest['artifacts']['uki']): Promise<void> {
  const file = await media.open(path, 'read')
  try {
    await checkWritten(file, artifact, awake)
  } finally {
    await file.close()
  }
}
