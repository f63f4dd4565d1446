// What commands that look into the archive of this device begin and end with: keys and connection are opened before,
// wiped and closed after, whatever happens.
import { openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { type ArchiveKeys, deriveArchiveKeys, type KeyRing } from '#format/keys.ts'
import type { RecordSource } from '#restore/record-source.ts'
import { createSiteSource } from '#restore/site-source.ts'
import { openSite } from '#site/site.ts'
import type { Frame } from './frame.ts'
import { openKeyRing } from './user-key.ts'

export type OpenArchive = { readonly source: RecordSource; readonly keys: ArchiveKeys; readonly ring: KeyRing }

export async function withArchive<Result>(frame: Frame, act: (archive: OpenArchive) => Promise<Result>): Promise<Result> {
  const storage = await openAuthorizedStorage(frame.home())
  try {
    const site = await openSite(storage, frame.signal)
    try {
      const ring = await openKeyRing(site, storage)
      const keys = deriveArchiveKeys(ring, site.archive)
      const source = createSiteSource(site)
      try {
        return await act({ source, keys, ring })
      } finally {
        await source.close()
        keys.wipe()
        ring.wipe()
      }
    } finally {
      site.close()
    }
  } finally {
    await storage.close()
  }
}
