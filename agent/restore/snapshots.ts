// Snapshots of an archive: which there are, and what one of them says about itself.
import type { ArchiveKeys } from '#format/keys.ts'
import { decodeSnapshot, type Snapshot } from '#format/snapshot.ts'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { Fault } from '#protocol/fault.ts'
import { KIND } from '#protocol/record.ts'
import { chooseSnapshot } from './at.ts'
import { fault } from './errors.ts'
import { createFetcher } from './fetch-blocks.ts'
import { openExpected } from './pages.ts'
import type { RecordSource, SnapshotRow } from './record-source.ts'

export type OpenSnapshot = { readonly row: SnapshotRow; readonly info: Snapshot; readonly pages: readonly Buffer[] }
export type LostSnapshot = { readonly row: SnapshotRow; readonly lost: Fault }

const SNAPSHOTS_AT_ONCE = 16

/** Opens some snapshots, in the order of `rows`; those that are damaged say why. */
export async function* openSnapshots(source: RecordSource, keys: ArchiveKeys, rows: readonly SnapshotRow[]): AsyncGenerator<OpenSnapshot | LostSnapshot> {
  for (let at = 0; at < rows.length; at += SNAPSHOTS_AT_ONCE) {
    const some = rows.slice(at, at + SNAPSHOTS_AT_ONCE)
    const found = new Map<string, Omit<OpenSnapshot, 'row'> | { lost: Fault }>()
    await createFetcher(source).fetch(
      some.map(({ snapshot }) => Buffer.from(snapshot, 'hex').toString('latin1')),
      {
        onRecord: (name, record) => {
          try {
            const { plain, clear } = openExpected(keys, KIND.snapshot, Buffer.from(name, 'latin1'), record)
            found.set(name, { info: decodeSnapshot(plain), pages: parseSnapshotClear(clear).pages })
          } catch (error) {
            if (!(error instanceof Fault)) throw error
            found.set(name, { lost: error })
          }
        },
        onLost: (name, lost) => void found.set(name, { lost }),
      },
    )
    for (const row of some) yield { row, ...(found.get(Buffer.from(row.snapshot, 'hex').toString('latin1')) ?? { lost: fault('RECORD_DAMAGED') }) }
  }
}

/** The snapshot that `--at` means, opened. What is wrong with it is thrown. */
export async function openSnapshotAt(source: RecordSource, keys: ArchiveKeys, at: string): Promise<OpenSnapshot> {
  const row = chooseSnapshot(await source.snapshots(), at, Date.now())
  for await (const snapshot of openSnapshots(source, keys, [row])) {
    if ('lost' in snapshot) throw snapshot.lost
    return snapshot
  }
  throw fault('RECORD_DAMAGED')
}
