// The page that the backup is at: either still the same as an old page (then only a count is kept, and the old page is
// referred to again), or being built anew. At the first difference it becomes the latter, by copying the entries that
// were the same. A page ends where the keyed hash of a path says so (#format/cut.ts), so an insertion changes one page.
import type { EndsPage } from '#format/cut.ts'
import { entryAt, type NewEntry, PAGE_BYTES_AIM, type Page, type PageBuilder } from '#format/page.ts'
import { isFault } from '#protocol/fault.ts'
import { PAGE_BLOCKS_MAX, PAGE_ENTRIES_MIN } from '#protocol/limits.ts'
import type { PreviousCursor, PreviousPage } from './previous.ts'

export type PageSink = {
  /** An old page stays as it is. */
  reuse(page: PreviousPage): void
  /** The builder's entries become a new page; it is empty then. */
  build(): Promise<void>
  /** The extended attributes of an entry are too many to be kept. */
  tooLarge(path: string, code: string): void
}

export function createPaging(builder: PageBuilder, endsPage: EndsPage, sink: PageSink) {
  let old: PreviousPage | undefined
  let same = 0

  /** Whether an old page would end here even if more entries followed: else it was the end of its snapshot. */
  const endsByItself = (page: PreviousPage): boolean =>
    page.page.extentEnd(page.page.count - 1) >= PAGE_BLOCKS_MAX || endsPage(page.page.path(page.page.count - 1), page.page.count)

  /** Gives the old page up: what was the same of it becomes the beginning of a new page. */
  const stopReusing = (): void => {
    if (!old) return
    for (let i = 0; i < same; i++) if (!builder.copy(old.page, i)) builder.add(entryAt(old.page, i))
    old = undefined
    same = 0
  }
  const isFull = (): boolean => builder.extentCount >= PAGE_BLOCKS_MAX || builder.bytes >= PAGE_BYTES_AIM
  const addWhole = (entry: NewEntry): Promise<void> | undefined => {
    try {
      builder.add(entry)
    } catch (error) {
      if (!isFault(error, 'ENTRY_TOO_LARGE')) throw error
      sink.tooLarge(entry.path, error.code)
      builder.add({ ...entry, xattrs: undefined })
    }
    return isFull() || endsPage(entry.path, builder.count) ? sink.build() : undefined
  }
  /** A file with more extents than fit goes on in the next page. */
  const addInParts = async (entry: NewEntry): Promise<void> => {
    let at = 0
    while (at < entry.extents.length) {
      const part = entry.extents.slice(at, at + PAGE_BLOCKS_MAX - builder.extentCount)
      await addWhole(at === 0 ? { ...entry, extents: part } : { ...entry, extents: part, continuation: true })
      at += part.length
    }
  }
  const addEntry = (entry: NewEntry): Promise<void> | undefined => {
    // A file goes on at the beginning of a page only.
    if (entry.continuation && builder.count > 0) return sink.build().then(() => addEntry(entry))
    return builder.extentCount + entry.extents.length > PAGE_BLOCKS_MAX ? addInParts(entry) : addWhole(entry)
  }
  /** An entry as it was. */
  const addOld = (page: Page, i: number): Promise<void> | undefined => {
    if (!builder.copy(page, i)) return addEntry(entryAt(page, i))
    return isFull() || (builder.count >= PAGE_ENTRIES_MIN && endsPage(page.path(i), builder.count)) ? sink.build() : undefined
  }

  return {
    /** The entry under the cursor is the same as on disk. A promise only if a page ended. */
    keep(cursor: PreviousCursor): Promise<void> | undefined {
      const under = cursor.current
      if (!under) return undefined
      const beginsPage = !old && builder.count === 0 && cursor.index === 0
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
      return addOld(under.page, cursor.index)
    },
    /** The entry under the cursor is gone from disk, or differs. */
    drop(cursor: PreviousCursor): void {
      if (old === cursor.current) stopReusing()
    },
    /** A new or changed entry. */
    add(entry: NewEntry): Promise<void> | undefined {
      stopReusing()
      return addEntry(entry)
    },
    /** After the last entry. */
    async end(): Promise<void> {
      if (old && same === old.page.count) {
        sink.reuse(old)
        old = undefined
      }
      stopReusing()
      if (builder.count > 0) await sink.build()
    },
  }
}
