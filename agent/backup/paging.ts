// The page that the backup is at: either still the same as an old page (then only a count is kept, and the old page is
// referred to again), or being built anew. At the first difference it becomes the latter, by copying the entries that
// were the same. A page ends where the keyed hash of a path says so (#format/cut.ts), so an insertion changes one page.
import type { EndsPage } from '#format/cut.ts'
import { entryAt, PAGE_BYTES_AIM } from '#format/page.ts'
import { PAGE_BLOCKS_MAX } from '#protocol/limits.ts'
import type { PendingEntry } from './pending-entry.ts'
import type { PreviousCursor, PreviousPage } from './previous.ts'

export type PageSink = {
  /** An old page stays as it is. */
  reuse(page: PreviousPage): void
  /** These entries become a new page; their number and blocks fit into one. */
  build(entries: PendingEntry[]): Promise<void>
}

export function createPaging(endsPage: EndsPage, sink: PageSink) {
  let old: PreviousPage | undefined
  let same = 0
  let entries: PendingEntry[] = []
  let extents = 0
  let bytes = 0

  /** Whether an old page would end here even if more entries followed: else it was the end of its snapshot. */
  const endsByItself = (page: PreviousPage): boolean =>
    page.page.extentEnd(page.page.count - 1) >= PAGE_BLOCKS_MAX || endsPage(page.page.path(page.page.count - 1), page.page.count)

  /** Gives the old page up: what was the same of it becomes the beginning of a new page. */
  const stopReusing = (): void => {
    if (!old) return
    for (let i = 0; i < same; i++) pushEntry(entryAt(old.page, i))
    old = undefined
    same = 0
  }
  const pushEntry = (entry: PendingEntry): void => {
    entries.push(entry)
    extents += entry.extents.length
    bytes += aboutBytes(entry)
  }
  const build = async (): Promise<void> => {
    const finished = entries
    entries = []
    extents = 0
    bytes = 0
    await sink.build(finished)
  }
  const addWhole = (entry: PendingEntry): Promise<void> | undefined => {
    pushEntry(entry)
    return extents >= PAGE_BLOCKS_MAX || bytes >= PAGE_BYTES_AIM || endsPage(entry.path, entries.length) ? build() : undefined
  }
  /** A file with more extents than fit goes on in the next page. */
  const addInParts = async (entry: PendingEntry): Promise<void> => {
    let at = 0
    while (at < entry.extents.length) {
      const part = entry.extents.slice(at, at + PAGE_BLOCKS_MAX - extents)
      await addWhole(at === 0 ? { ...entry, extents: part } : { ...entry, extents: part, continuation: true })
      at += part.length
    }
  }

  return {
    /** The entry under the cursor is the same as on disk. A promise only if a page ended. */
    keep(cursor: PreviousCursor): Promise<void> | undefined {
      const under = cursor.current
      if (!under) return undefined
      const beginsPage = !old && entries.length === 0 && cursor.index === 0
      if (beginsPage || (old === under && cursor.index === same)) {
        old = under
        same++
        if (same === under.page.count && endsByItself(under)) {
          old = undefined
          same = 0
          sink.reuse(under)
        }
        return undefined
      }
      stopReusing()
      return addWhole(entryAt(under.page, cursor.index))
    },
    /** The entry under the cursor is gone from disk, or differs. */
    drop(cursor: PreviousCursor): void {
      if (old === cursor.current) stopReusing()
    },
    /** A new or changed entry. */
    add(entry: PendingEntry): Promise<void> | undefined {
      stopReusing()
      return extents + entry.extents.length > PAGE_BLOCKS_MAX ? addInParts(entry) : addWhole(entry)
    },
    /** After the last entry. */
    async end(): Promise<void> {
      if (old && same === old.page.count) {
        sink.reuse(old)
        old = undefined
      }
      stopReusing()
      if (entries.length > 0) await build()
    },
  }
}

/** About what an entry adds to a page, in bytes; only what is unusually long matters. */
function aboutBytes(entry: PendingEntry): number {
  const xattrs_bytes = entry.xattrs?.reduce((sum, [name, value]) => sum + name.length + value.length, 0) ?? 0
  return 100 + entry.path.length + entry.extents.length * 12 + (entry.target?.length ?? 0) + (entry.holes?.length ?? 0) * 20 + xattrs_bytes
}
