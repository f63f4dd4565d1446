// Names of one file: the first of them in path order that is restored is written, the others are linked to it.
// A file is forgotten when all its names were met, so memory depends on the files that are linked from outside of
// what is restored, not on the number of files.
import { PAGE_ENTRIES_MAX } from '#protocol/limits.ts'

export type Primary = {
  readonly content: string
  readonly size: number
  /** Byte string of where it was really restored; undefined until then, or if it could not be. */
  path: string | undefined
  left: number
}

export type HardLinks = {
  /**
   * Meets one more name of a file. The first is written, and gets `primary` with isFirst.
   *
   * @param key  device and inode, and whatever else must be equal
   */
  meet(key: string, nlink: number, content: string, size: number): { primary: Primary; isFirst: boolean }
}

export function createHardLinks(): HardLinks {
  const primaries = new Map<string, Primary>()
  return {
    meet(key, nlink, content, size) {
      const known = primaries.get(key)
      // A name whose content differs was backed up while the file changed: it becomes a file of its own.
      if (known && known.content === content && known.size === size) {
        if (--known.left <= 0) primaries.delete(key)
        return { primary: known, isFirst: false }
      }
      const primary: Primary = { content, size, path: undefined, left: Math.min(nlink, 2 ** 31) - 1 }
      if (!known) primaries.set(key, primary)
      return { primary, isFirst: true }
    },
  }
}

/** One number for an entry of a page that is in use: slots are small numbers. */
export const entryKey = (slot: number, index: number): number => slot * PAGE_ENTRIES_MAX + index
