// A test archive as a directory of segments, written by the real engine.
import { join } from 'node:path'
import { append } from '#archive/append.ts'
import { openArchive } from '#archive/archive.ts'
import { commitSnapshot } from '#archive/commit-snapshot.ts'
import { closeStore, openStore } from '#archive/store.ts'
import { KIND, parseRecord } from '#protocol/record.ts'
import type { TestArchive } from './archive.ts'

/** @returns the archive's directory */
export async function writeArchiveDirectory(archive: TestArchive, home: string): Promise<string> {
  const store = await openStore(home, { reserve_bytes: 0 })
  try {
    const engine = await openArchive(store, archive.source.archive, { create: true })
    const framed = [...archive.records.values()].map(bytes => ({ header: parseRecord(bytes).header, pieces: [bytes] }))
    await append(
      engine,
      framed.filter(({ header }) => header.kind !== KIND.snapshot),
    )
    for (const row of archive.rows) {
      const record = framed.find(({ header }) => header.id.toString('hex') === row.snapshot)
      if (record) await commitSnapshot(engine, record)
    }
  } finally {
    await closeStore(store)
  }
  return join(home, 'archives', archive.source.archive)
}
