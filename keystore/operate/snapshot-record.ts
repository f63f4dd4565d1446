// What a folder of snapshots says of itself: snapshots.json names each that is whole and durable, the oldest first. A file
// that it does not name was cut short, and is removed by the next run.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { writeWhole } from './durable-file.ts'
import { fault } from './errors.ts'

const RECORD = 'snapshots.json'
const Entry = Type.Object({
  file: Type.String({ pattern: '^keystore-[0-9TZ]{16}\\.snapshot\\.age$' }),
  taken_ms: Type.Integer({ minimum: 0 }),
  /** Of the encrypted file. */
  bytes: Type.Integer({ minimum: 1 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
})
const Record = Type.Object({ version: Type.Literal(1), snapshots: Type.Array(Entry, { maxItems: 100_000 }) })
export type SnapshotEntry = Static<typeof Entry>

/** All that the folder has. @throws SNAPSHOTS_DAMAGED */
export function snapshotsIn(folder: string): readonly SnapshotEntry[] {
  const file = join(folder, RECORD)
  if (!existsSync(file)) return []
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch {}
  if (!Check(Record, value)) throw fault('SNAPSHOTS_DAMAGED', { found: `another shape in ${file}` })
  return value.snapshots
}

/** The newest that is there as long as it was. @throws SNAPSHOTS_DAMAGED */
export function lastSnapshot(folder: string): SnapshotEntry | undefined {
  return snapshotsIn(folder).findLast(({ file, bytes }) => statSync(join(folder, file), { throwIfNoEntry: false })?.size === bytes)
}

/** Durable when it returns. */
export function writeSnapshots(folder: string, snapshots: readonly SnapshotEntry[]): void {
  writeWhole(join(folder, RECORD), `${JSON.stringify({ version: 1, snapshots }, undefined, 2)}\n`)
}
