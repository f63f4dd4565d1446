// The last snapshot, read in step with the scan: it is the file cache, so memory does not depend on the number of
// files. A cursor over the entries of a list of pages in path order. Pages of an unfinished backup stand before those
// of the last snapshot, which then begin behind the last path of the former.
import type { Page } from '#format/page.ts'
import { comparePaths } from '#format/path-order.ts'

export type PreviousPage = {
  readonly id: Buffer
  readonly page: Page
  /** Columns of 64 bits in words of 32, the low half first: to be compared without making numbers of them. */
  readonly mtime: Uint32Array
  readonly ctime: Uint32Array
  readonly ino: Uint32Array
}

const inWords = ({ buffer, byteOffset, length }: BigInt64Array | BigUint64Array): Uint32Array => new Uint32Array(buffer, byteOffset, length * 2)

export type PageList = {
  /** Ids of pages in path order, as views of 32 bytes. */
  readonly ids: readonly Buffer[]
  /** Entries up to this path (included) are passed over. */
  readonly after: string | undefined
}

/** How a page is had: from the cache or from the storage node; undefined if it can't be had (its files are read again). */
export type LoadPage = (id: Buffer) => Promise<Page | undefined>

/** A cursor before the first entry; await `loadNext` before anything else. */
export function createPrevious(lists: readonly PageList[], load: LoadPage) {
  let list = 0
  let next = 0
  const cursor = {
    current: undefined as PreviousPage | undefined,
    index: 0,
    isAtEnd: false,
    /** Goes to the first entry of the next page that has one. */
    async loadNext(): Promise<void> {
      for (;;) {
        const from = lists[list]
        if (!from) {
          cursor.current = undefined
          cursor.isAtEnd = true
          return
        }
        const id = from.ids[next++]
        if (!id) {
          list++
          next = 0
          continue
        }
        const page = await load(id)
        if (!page || page.count === 0) continue
        cursor.current = { id, page, mtime: inWords(page.mtime_ns), ctime: inWords(page.ctime_ns), ino: inWords(page.ino) }
        cursor.index = 0
        if (from.after === undefined) return
        while (cursor.current && comparePaths(cursor.path(), from.after) <= 0) if (!cursor.step()) cursor.current = undefined
        if (cursor.current) return
      }
    },
    /** Goes to the next entry of this page; false if there is none (then `loadNext`). */
    step(): boolean {
      return cursor.current !== undefined && ++cursor.index < cursor.current.page.count
    },
    depth: (): number => cursor.current?.page.depth[cursor.index] ?? 0,
    name: (): string => cursor.current?.page.name(cursor.index) ?? '',
    isNamed: (bytes: Uint8Array, from: number, to: number): boolean => cursor.current?.page.isNamed(cursor.index, bytes, from, to) ?? false,
    path: (): string => cursor.current?.page.path(cursor.index) ?? '',
  }
  return cursor
}

export type PreviousCursor = ReturnType<typeof createPrevious>
