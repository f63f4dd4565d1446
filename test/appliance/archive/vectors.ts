// The vectors of the archive directory, and what a reader says of a directory of segments: the same shape for both.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { closeReading, openArchiveReading, recordsOf } from '../../../appliance/archive/reading.ts'

/** A record as vectors and readers name it. */
export type ReadRecord = { readonly kind: number; readonly offset: number; readonly length: number; readonly received_ms: number }
/** Bytes without an intact record. */
export type BadRange = { readonly offset: number; readonly length: number; readonly torn: boolean }
export type SegmentVector = { readonly name: string; readonly segment: string; readonly records: readonly ReadRecord[]; readonly bad: readonly BadRange[] }
export type Listed = {
  readonly records: readonly (ReadRecord & { readonly segment: number; readonly id: string })[]
  readonly bad: readonly (BadRange & { readonly segment: number })[]
}

export const VECTORS = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/segments.json'), 'utf8')) as { archive: string; vectors: SegmentVector[] }

/** All that our own reader finds in a directory of segments. */
export async function listDirectory(dir: string): Promise<Listed> {
  const reading = await openArchiveReading(dir)
  const records: Listed['records'][number][] = []
  const bad: Listed['bad'][number][] = []
  try {
    const found = recordsOf(reading, {
      onDamage: ({ segment, offset, length, reason }) => bad.push({ segment, offset, length, torn: reason === 'torn' }),
    })
    for await (const { segment, header, offset, length, received_ms } of found) {
      records.push({ segment, id: header.id.toString('hex'), kind: header.kind, offset, length, received_ms })
    }
  } finally {
    await closeReading(reading)
  }
  bad.sort((a, b) => a.segment - b.segment || a.offset - b.offset)
  return { records, bad }
}
