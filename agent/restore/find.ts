// `find`: matching entries of one or more snapshots. A page that several snapshots have is read once, and a version of a
// file (path, size, time) is told once: from the first snapshot of the list that has it.
import type { ArchiveKeys } from '#format/keys.ts'
import { type Entry, entryAt } from '#format/page.ts'
import type { Fault } from '#protocol/fault.ts'
import { readPages } from './pages.ts'
import type { RecordSource } from './record-source.ts'
import { createSelection } from './selection.ts'
import type { LostSnapshot, OpenSnapshot } from './snapshots.ts'

export type Found = { readonly snapshot: OpenSnapshot; readonly entry: Entry }

/** @param onLost  a snapshot or page that can't be read; the search goes on */
export async function* find(
  source: RecordSource,
  keys: ArchiveKeys,
  snapshots: AsyncIterable<OpenSnapshot | LostSnapshot> | Iterable<OpenSnapshot>,
  matches: (path: string) => boolean,
  onLost: (lost: Fault) => void,
): AsyncGenerator<Found> {
  const pages = new Set<string>()
  const versions = new Set<string>()
  const everything = createSelection([])
  for await (const snapshot of snapshots) {
    if ('lost' in snapshot) {
      onLost(snapshot.lost)
      continue
    }
    const isNeeded = (ordinal: number): boolean => !pages.has((snapshot.pages[ordinal] as Buffer).toString('latin1'))
    for await (const read of readPages(source, keys, snapshot.pages, everything, isNeeded)) {
      pages.add(read.id.toString('latin1'))
      if ('lost' in read) {
        onLost(read.lost)
        continue
      }
      const { page } = read
      for (let i = 0; i < page.count; i++) {
        const path = page.path(i)
        if (!matches(path) || page.rare(i)?.continuation) continue
        const version = `${page.size[i]} ${page.mtime_ns[i]} ${page.mode[i]} ${path}`
        if (versions.has(version)) continue
        versions.add(version)
        yield { snapshot, entry: entryAt(page, i) }
      }
    }
  }
}
