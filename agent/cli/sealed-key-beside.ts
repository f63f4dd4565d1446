// Puts the sealed user key beside the archive, as a custody record: every copy of the archive has it, and with what the
// keystore keeps it is enough for a restore when the appliance is gone.
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { kidOf, ownerOf, sealedKeyId } from '#keystore-seal/sealed-key-head.ts'
import { frameRecord, KIND } from '#protocol/record.ts'
import type { Site } from '#site/site.ts'
import { readAgentFile, writeAgentFile } from './agent-file.ts'

/** Durable beside the archive when it resolves. Nothing is sent if it is known to be there, or if there is none. */
export async function putSealedKeyBeside(home: string, site: Site, storage: AuthorizedStorage): Promise<void> {
  const sealed = await storage.get('sealed-key')
  if (!sealed) return
  const { epoch } = ownerOf(sealed)
  const kid = kidOf(epoch, sealed)
  const kept = readAgentFile(home)
  if (kept.sealed_key_beside === kid) return
  const record = frameRecord(KIND.custody, epoch, sealedKeyId(sealed), Buffer.alloc(0), sealed)
  const { session } = await site.openSession()
  try {
    await site.upload(session, [record])
  } finally {
    await site.closeSession(session)
  }
  writeAgentFile(home, { ...kept, sealed_key_beside: kid })
}
