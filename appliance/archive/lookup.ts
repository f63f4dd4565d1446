// Where records are: those durable but not yet indexed first, then the index. So every acknowledged record is seen.
import { fault } from '#protocol/errors.ts'
import { ID_BYTES } from '#protocol/record.ts'
import { find } from './archive-index.ts'
import { type Archive, recentKey } from './engine.ts'
import { indexUnreadable } from './index-failed.ts'
import type { Location } from './location.ts'

/**
 * Finds durable records.
 *
 * @param ids  joined ids, 32 bytes each
 * @returns    a location for each in the same order, undefined for those that are not known
 * @throws     ARCHIVE_FAILED  the index cannot be read
 */
export async function locate(archive: Archive, ids: Buffer): Promise<(Location | undefined)[]> {
  const count = ids.length / ID_BYTES
  // `recent` before the index: a record may leave the one for the other in between, but never the other way.
  const recent: (Location | undefined)[] = []
  for (let i = 0; i < count; i++) recent.push(archive.recent.size === 0 ? undefined : archive.recent.get(recentKey(idAt(ids, i)))?.location)
  if (count > 0 && recent.every(location => location !== undefined)) return recent
  try {
    const indexed = await find(archive.store.index, archive.id_bytes, archive.ordinal, ids)
    return indexed.map((location, i) => recent[i] ?? location)
  } catch (error) {
    throw await indexUnreadable(archive.store, error)
  }
}

/**
 * Which of these records would have to be sent: those that are not durable here.
 *
 * @param ids  joined ids, 32 bytes each
 * @returns    a bitmap: bit i, least significant first, is 1 if id i is missing
 * @throws     RECORD_INVALID  not a list of 32-byte ids; ARCHIVE_FAILED  the index cannot be read
 */
export async function missing(archive: Archive, ids: Buffer): Promise<Uint8Array> {
  checkIds(ids)
  const locations = await locate(archive, ids)
  const bitmap = new Uint8Array((locations.length + 7) >>> 3)
  locations.forEach((location, i) => {
    if (location === undefined) bitmap[i >>> 3] = (bitmap[i >>> 3] as number) | (1 << (i & 7))
  })
  return bitmap
}

/** The i-th of joined ids, as a view. */
export const idAt = (ids: Buffer, i: number): Buffer => ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES)

/** @throws RECORD_INVALID  if it is no list of 32-byte ids */
export function checkIds(ids: Buffer): void {
  if (ids.length % ID_BYTES !== 0) throw fault('RECORD_INVALID', { expected: 'a list of 32-byte ids', found: `${ids.length} bytes` })
}
