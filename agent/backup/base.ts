// What a backup builds on: the last snapshot, and before it the pages of a backup that did not end.
import type { ArchiveKeys } from '#format/keys.ts'
import { decodePage, type Page } from '#format/page.ts'
import { openRecord } from '#format/seal.ts'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { parseRecord } from '#protocol/record.ts'
import type { Cache } from './cache.ts'
import type { BackupWork } from './messages.ts'
import type { LoadPage, PageList } from './previous.ts'

export type Base = {
  /** In path order. */
  readonly lists: readonly PageList[]
  readonly pageIds: readonly Buffer[]
  readonly load: LoadPage
}

/** @param fetch  a record by its id, or nothing if it can't be had */
export async function openBase(work: BackupWork, keys: ArchiveKeys, cache: Cache, fetch: (id: Buffer) => Promise<Buffer>): Promise<Base> {
  const load = async (id: Buffer): Promise<Page | undefined> => {
    for (const get of [(): Buffer | undefined => cache.page(id), (): Promise<Buffer> => fetch(id)]) {
      const bytes = await get()
      if (!bytes || bytes.length === 0) continue
      try {
        const record = parseRecord(bytes)
        if (!record.header.id.equals(id)) continue
        const page = decodePage(openRecord(keys, keys.archive, record.bytes), record.clear)
        if (get.length === 0) cache.putPage(id, bytes)
        return page
      } catch {
        // Torn in the cache, or damaged on the storage node: its files are read again.
      }
    }
    return undefined
  }
  if (work.isDistrustful) {
    await cache.clear()
    return { lists: [], pageIds: [], load }
  }
  const unfinished = await cache.unfinished()
  const lists: PageList[] = [{ ids: unfinished.map(page => page.id), after: undefined }]
  const pageIds = unfinished.map(page => page.id)
  if (work.head) {
    const head = Buffer.from(work.head.snapshot, 'hex')
    const cached = cache.snapshot()
    const bytes = cached && parseRecord(cached).header.id.equals(head) ? cached : await fetch(head)
    const record = parseRecord(bytes)
    openRecord(keys, keys.archive, record.bytes)
    const { pages } = parseSnapshotClear(record.clear)
    lists.push({ ids: pages, after: unfinished.at(-1)?.lastPath })
    pageIds.push(...pages)
  }
  return { lists, pageIds, load }
}
