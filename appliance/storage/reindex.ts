// Making the index again, for a storage node that does not run.
import { join } from 'node:path'
import { type Reindexed, reindex } from '#archive/reindex.ts'
import { closeStore, openStore } from '#archive/store.ts'

/**
 * Reindexes one archive or all, from their segments alone.
 *
 * @param home  the appliance's
 * @throws STORE_BUSY while the appliance runs
 */
export async function reindexHome(home: string, archive?: string): Promise<Reindexed[]> {
  const store = await openStore(join(home, 'storage'))
  try {
    return await reindex(store, archive)
  } finally {
    await closeStore(store)
  }
}
