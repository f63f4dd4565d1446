// Which partitions are the two slots, and which of them runs.
import { fault } from './errors.ts'
import type { Partition } from './gpt.ts'

/** Of the UAPI Group's Discoverable Partitions Specification, for x86-64. */
export const ROOT_TYPE = '4f68bce3-e8cd-4db1-96e7-fbcaf984b709'
export const VERITY_TYPE = '2c7357ed-ebd2-46d9-aec1-23d437ec2bf5'

export type Slot = { readonly root: Partition; readonly verity: Partition }

/**
 * The slot that does not run.
 *
 * @param running  numbers of the partitions that the running root is made of
 * @throws SLOTS_UNKNOWN unless there are two slots, and the running one is one of them
 */
export function otherSlot(partitions: readonly Partition[], running: readonly number[]): Slot {
  const [root, verity] = [ROOT_TYPE, VERITY_TYPE].map(type => {
    const found = partitions.filter(partition => partition.type === type)
    const others = found.filter(partition => !running.includes(partition.number))
    if (found.length !== 2 || others.length !== 1)
      throw fault('SLOTS_UNKNOWN', { expected: 'two slots, one of which runs', found: `${found.length} partitions of type ${type}` })
    return others[0] as Partition
  })
  return { root: root as Partition, verity: verity as Partition }
}

/** The UUIDs by which the partitions of a root hash are found: its two halves. */
export function uuidsOf(root_hash: string): { root: string; verity: string } {
  const uuid = (hex: string): string => [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  return { root: uuid(root_hash.slice(0, 32)), verity: uuid(root_hash.slice(32)) }
}
