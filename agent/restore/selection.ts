// Which entries are wanted: the given paths and all below them. Paths of a snapshot are in path order, so what one
// wanted path selects is contiguous, and a reader may begin at the first wanted page and stop behind the last.
import { comparePaths, isWithin } from '#format/path-order.ts'

export type Selection = {
  readonly isEverything: boolean
  /** In path order, none below another; empty means everything. */
  readonly wanted: readonly string[]
  has(path: string): boolean
  /** Whether nothing from this path on (in path order) is wanted any more. */
  isBehind(path: string): boolean
  /** Wanted paths that `has` never said yes to. */
  unseen(): string[]
}

/** @param paths  byte strings; none, or '' among them, selects everything */
export function createSelection(paths: readonly string[]): Selection {
  const sorted = [...new Set(paths)].sort(comparePaths)
  const wanted = sorted.includes('') ? [] : sorted.filter((path, i) => !sorted.slice(0, i).some(top => isWithin(path, top)))
  const isEverything = wanted.length === 0
  const seen = new Set<string>()
  return {
    isEverything,
    wanted,
    has(path) {
      if (isEverything) return true
      // The candidate is the last wanted path that is not behind this one.
      let low = 0
      for (let high = wanted.length; low + 1 < high; ) {
        const middle = (low + high) >>> 1
        if (comparePaths(wanted[middle] as string, path) <= 0) low = middle
        else high = middle
      }
      const top = wanted[low] as string
      if (!isWithin(path, top)) return false
      seen.add(top)
      return true
    },
    isBehind: path => !isEverything && comparePaths(wanted.at(-1) as string, path) < 0 && !isWithin(path, wanted.at(-1) as string),
    unseen: () => wanted.filter(path => !seen.has(path)),
  }
}
