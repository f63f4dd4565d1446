// An entry whose blocks may not have their ids yet: small files that run together into one block get its id only when
// that block is full.
import type { Entry } from '#format/page.ts'

/** A block that is still being filled has no id. */
export type Source = { id: Buffer | undefined }
export type PendingExtent = { readonly source?: Source; block?: Buffer; readonly offset: number; readonly length: number }
export type PendingEntry = Omit<Entry, 'extents'> & { extents: readonly PendingExtent[] }

/** The entry once all its blocks have ids: the same object. */
export function resolveEntry(entry: PendingEntry): Entry {
  for (const extent of entry.extents) {
    const id = extent.block ?? extent.source?.id
    if (!id) throw new Error('a block was not closed before its page')
    extent.block = id
  }
  return entry as Entry
}
