// Sets a keystore up for one appliance site and its tenants. Invariants:
//   what is as wanted is not touched; what differs is put right and said, so a second run says nothing;
//   nothing that could hold a key is ever removed or replaced: what is in the way is a conflict, for people to look at.
// Everything that it makes, and why: KEYSTORE.md.
import { isDeepStrictEqual } from 'node:util'
import { REQUEST_HEADER } from '#keystore-client/names.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { OPERATOR_POLICY, operatorPolicy } from './policies.ts'
import { provisionTenant } from './tenant.ts'
import { bring, type Note, readData } from './wanted.ts'

export type Site = {
  /** `iss` of the appliance's sign-ins. */
  readonly issuer: string
  /** P-256, SPKI in PEM: checks the appliance's sign-ins. */
  readonly jwt_public_key: string
  readonly tenants: readonly string[]
  /** Keys that may be opened, for each tenant; what is over is refused with 429. If absent it stays, at first 60. Sign-ins go by it. */
  readonly fetches_per_minute?: number
  /** Networks (CIDR) from which alone the appliance signs in and acts. If absent it stays, at first anywhere. */
  readonly callers?: readonly string[]
}

export type Provisioned = {
  /** What was made or changed, one line each; empty if all was as wanted. */
  readonly changes: readonly string[]
  /** tenant → its Ed25519 public key, 32 bytes in base64. */
  readonly identities: Readonly<Record<string, string>>
}

/**
 * Makes what is missing and puts right what differs. Done again after a failure, it goes on where it was.
 *
 * @param admin  with a root token; revoke it afterwards
 * @throws PROVISION_CONFLICT, KEYSTORE_*
 */
export async function provision(admin: AdminSession, site: Site): Promise<Provisioned> {
  const changes: string[] = []
  const note: Note = change => void changes.push(change)
  await keepHeader(admin, note)
  await bring(admin, note, 'quotas', 'sys/quotas/config', { enable_rate_limit_audit_logging: true, enable_rate_limit_response_headers: true })
  await bring(admin, note, `policy ${OPERATOR_POLICY}`, `sys/policies/acl/${OPERATOR_POLICY}`, { policy: operatorPolicy() })
  const identities: Record<string, string> = {}
  for (const tenant of site.tenants) identities[tenant] = await provisionTenant(admin, note, site, tenant)
  return { changes, identities }
}

const HEADERS_PATH = 'sys/config/auditing/request-headers'

/** The audit log names the act of ours that a request belongs to. */
async function keepHeader(admin: AdminSession, note: Note): Promise<void> {
  const wanted = { hmac: false }
  const headers = (await readData(admin, HEADERS_PATH))?.['headers'] as Readonly<Record<string, unknown>> | null | undefined
  if (isDeepStrictEqual(headers?.[REQUEST_HEADER], wanted)) return
  await admin.write(`${HEADERS_PATH}/${REQUEST_HEADER}`, wanted)
  note(`audit header ${REQUEST_HEADER}: kept from now on`)
}
