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
    const found = new Map<string, Buffer | Fault>()
    await createFetcher(source).fetch(
      some.map(({ snapshot }) => Buffer.from(snapshot, 'hex').toString('latin1')),
      {
        onRecord: (name, record) => void found.set(name, record),
        onLost: (name, reason) => void found.set(name, reason),
      },
    )
    for (const row of some) {
      const id = Buffer.from(row.snapshot, 'hex')
      const record = found.get(id.toString('latin1'))
      if (!Buffer.isBuffer(record)) {
        yield { row, lost: record ?? fault('RECORD_DAMAGED') }
        continue
      }
      try {
        const { plain, clear } = openExpected(keys, KIND.snapshot, id, record)
        yield { row, info: decodeSnapshot(plain), pages: parseSnapshotClear(Buffer.from(clear)).pages }
      } catch (error) {
        if (!(error instanceof Fault)) throw error
        yield { row, lost: error }
      }
    }
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
