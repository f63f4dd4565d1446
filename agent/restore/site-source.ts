// Records from the storage node.
import type { Site } from '#site/site.ts'
import type { RecordSource } from './record-source.ts'

/** The source stays open until `close`, which ends its session, but not the site. */
export function createSiteSource(site: Site): RecordSource {
  let session: Promise<string> | undefined
  return {
    archive: site.archive,
    async snapshots() {
      const { snapshots } = await site.snapshots()
      return snapshots.toSorted((a, b) => a.sequence - b.sequence)
    },
    read: (ids, onRecord) => site.read(ids, onRecord),
    async missing(ids) {
      // Only a session may ask; it also keeps a backup from changing what is being looked at.
      session ??= site.openSession().then(opened => opened.session)
      return site.missing(await session, ids)
    },
    async close() {
      if (session) await site.closeSession(await session)
      session = undefined
    },
  }
}
