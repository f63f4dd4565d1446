// What happens when a stored copy turns out to be damaged: it is told, and the record counts as missing from then on, so
// that it is sent again; and no snapshot is committed any more on the strength of the one before, until all is read through.
import { find, markDamaged } from './archive-index.ts'
import { type Archive, recentKey } from './engine.ts'
import type { Location } from './location.ts'

/**
 * Notes that the stored copy at a location is damaged. One that is being stored anew, or was since, is left alone.
 *
 * @returns once it counts as missing; if the index cannot be written, the damage is told all the same
 */
export async function noteDamage(archive: Archive, { segment, offset, length }: Location, id: Buffer): Promise<void> {
  archive.isDamaged = true
  if (!archive.damage.some(range => range.segment === segment && range.offset === offset)) {
    archive.damage.push({ segment, offset, length, reason: 'digest', id: id.toString('hex') })
  }
  const { id_bytes, ordinal, recent, store } = archive
  try {
    const [found] = await find(store.index, id_bytes, ordinal, id)
    if (recent.get(recentKey(id))?.location !== undefined || found?.segment !== segment || found.offset !== offset) return
    await markDamaged(store.index, id_bytes, ordinal, [{ id: Buffer.from(id), segment, offset, length }])
  } catch {
    // Then its next writer finds it damaged again.
  }
}
