// What status and pair show of an identity: names and addresses, never a certificate.
import type { Identity } from '#site/identity.ts'

/** What may be shown of an identity. */
export const publicPart = (identity: Identity): Record<string, string> => ({
  device: identity.device,
  user: identity.user,
  tenant: identity.tenant,
  archive: identity.archive,
  authority: identity.authority,
  storage: identity.storage,
})
