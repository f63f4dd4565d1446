// Asks the segments themselves when the index does not know a record that somebody needs: LevelDB can lose rows to a
// flipped byte without a word. At most once while an archive is open, so that nobody can make the disk busy by asking.
import { join } from 'node:path'
import { fault } from '#protocol/errors.ts'
import { systemCode } from './disk.ts'
import type { Archive } from './engine.ts'
import { fillHoles } from './index-archive.ts'
import { indexUnreadable } from './index-failed.ts'
import { scanSegment } from './scan-segment.ts'
import { contentsOfScan, listSegment, listSegments, type SegmentContents } from './segment-contents.ts'
import { segmentName } from './segment-records.ts'

/**
 * Puts rows back that the index has lost; those of records that are being stored meanwhile are left to their writer.
 *
 * @returns once it is done, the first time and every other time
 * @throws  ARCHIVE_FAILED  the segments cannot be read, or the index cannot be written
 */
export function repairIndex(archive: Archive): Promise<void> {
  archive.repairing ??= fill(archive)
  return archive.repairing
}

async function fill(archive: Archive): Promise<void> {
  try {
    await fillHoles(archive.store.index, archive.id_bytes, archive.ordinal, newestFirst(archive))
  } catch (error) {
    if (systemCode(error)?.startsWith('LEVEL_')) throw await indexUnreadable(archive.store, error)
    throw fault('ARCHIVE_FAILED', { found: 'the index cannot be repaired', cause: error })
  }
}

async function* newestFirst(archive: Archive): AsyncGenerator<SegmentContents> {
  const { disk } = archive.store
  const numbers = await listSegments(disk, archive.dir)
  for (const segment of numbers.reverse()) {
    const open = archive.writer.segment
    if (open?.number !== segment) {
      yield await listSegment(disk, archive.dir, { archive: archive.id_bytes, segment }, true)
      continue
    }
    // What is being written behind the durable end is not looked at.
    const durable_bytes = open.bytes
    const file = await disk.open(join(archive.dir, segmentName(segment)), 'read')
    try {
      const scan = await scanSegment(file, { segment, archive: archive.id_bytes, isNewest: true, durable_bytes, verify_from: 0 })
      const records = scan.records.filter(({ offset, length }) => offset + length <= durable_bytes)
      yield contentsOfScan(segment, { ...scan, records })
    } finally {
      await file.close()
    }
  }
}
