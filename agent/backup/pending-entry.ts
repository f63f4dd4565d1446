// An entry whose blocks may not have their ids yet: small files that run together into one block get its id only when
// that block is full.
import type { Entry } from '#format/page.ts'

/** A block that is still being filled has no id. */
export type Source = { id: Buffer | undefined }
export type PendingExtent = { readonly source?: Source; readonly block?: Buffer; readonly offset: number; readonly length: number }
export type PendingEntry = Omit<Entry, 'extents'> & { extents: readonly PendingExtent[] }

/** The entry once all its blocks have ids. */
export function resolveEntry(entry: PendingEntry): Entry {
  return {
    ...entry,
    extents: entry.extents.map(({ source, block, offset, length }) => {
      const id = block ?? source?.id
      if (!id) throw new Error('a block was not closed before its page')
      return { block: id, offset, length }
    }),
  }
}
