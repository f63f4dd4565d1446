// Files with several names are read once: what was found under the first is remembered for the others, as long as the
// file is still the same. Bounded: when there is too much to remember, all of it is forgotten, and read again.
import type { FileStats } from '#filesystem/file-stats.ts'
import type { ReadContent } from './content.ts'

const EXTENTS_MAX = 32_768

export function createHardLinks() {
  const files = new Map<string, ReadContent>()
  let extents = 0
  return {
    /** What was read of this file under another name. */
    find(stats: FileStats): ReadContent | undefined {
      if (stats.nlink < 2) return undefined
      const read = files.get(nameOf(stats))
      const isSame = read?.stats.ctime_ns === stats.ctime_ns && read.stats.mtime_ns === stats.mtime_ns && read.stats.size === stats.size
      return isSame ? read : undefined
    },
    remember(read: ReadContent): void {
      if (read.stats.nlink < 2 || files.has(nameOf(read.stats)) || read.extents.length > EXTENTS_MAX) return
      extents += read.extents.length + 1
      if (extents > EXTENTS_MAX) {
        files.clear()
        extents = read.extents.length + 1
      }
      files.set(nameOf(read.stats), read)
    },
  }
}

const nameOf = (stats: FileStats): string => `${stats.dev} ${stats.ino}`
