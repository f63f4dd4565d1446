// The policies, in the words of the server. KEYSTORE.md explains each line. What they rest on:
//   the longest matching path wins, a deny is not absolute: so a deny names a whole prefix, and mounts begin with their type;
//   `create` without `update` cannot replace what is there;
//   an `allowed_parameters` list refuses every parameter that it does not name, batch_input among them.
import { approversOf, IDENTITY_KEY, kvOf, policyOf, transitOf } from '#keystore-client/names.ts'
import { SLOT_KEY_TYPE } from '#keystore-client/slots.ts'

/** How long a request for a restore waits for its approver, and may be fetched once it is approved. */
export const APPROVAL_S = 600

/** All users of a tenant: each its own slot, told from the sign-in's subject. */
export const ownerPolicy = (tenant: string, accessor: string): string => {
  const me = `{{identity.entity.aliases.${accessor}.name}}`
  return `path "${kvOf(tenant)}/data/${me}/+" {
  capabilities = ["read"]
}
path "${transitOf(tenant)}/decrypt/${me}" {
  capabilities = ["update"]
  allowed_parameters = { "ciphertext" = [] }
}
`
}

/** The authority's outbox: hand over, and see that it is there. */
export const outboxPolicy = (tenant: string): string => `path "${kvOf(tenant)}/data/+/+" {
  capabilities = ["create"]
  allowed_parameters = { "data" = [] "options" = [] }
}
path "${kvOf(tenant)}/metadata/+/+" {
  capabilities = ["read"]
}
path "${transitOf(tenant)}/keys/+" {
  capabilities = ["update"]
  required_parameters = ["type"]
  allowed_parameters = { "type" = ["${SLOT_KEY_TYPE}"] }
}
path "${transitOf(tenant)}/sign/${IDENTITY_KEY}" {
  capabilities = ["update"]
  allowed_parameters = { "input" = [] }
}
`

/** A restore for somebody else: opens nothing before an approver has released the one request. */
export const restorePolicy = (tenant: string, approval_s = APPROVAL_S): string => `path "${kvOf(tenant)}/data/+/+" {
  capabilities = ["read"]
}
path "${transitOf(tenant)}/decrypt/+" {
  capabilities = ["update"]
  allowed_parameters = { "ciphertext" = [] }
  control_group = {
    ttl = "${approval_s}s"
    factor "approvers" {
      controlled_capabilities = ["update"]
      identity {
        group_names = ["${approversOf(tenant)}"]
        approvals = 1
      }
    }
  }
}
path "sys/control-group/request" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
`

/** Whoever agrees to a restore: sees one request, releases it. */
export const approverPolicy = (): string => `path "sys/control-group/request" {
  capabilities = ["update"]
}
path "sys/control-group/authorize" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
`

export const OPERATOR_POLICY = 'operator'
const DENIED = ['kv-*', 'tr-*', 'auth/*', 'identity/*', 'sys/auth/*', 'sys/remount', 'sys/policies/*', 'sys/policy/*', 'sys/raw/*']

/** Keeps the servers going; reads no key and gives nobody a right. */
export const operatorPolicy = (): string => `path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/mounts/+" {
  capabilities = ["create", "read", "update"]
}
path "sys/mounts/+/tune" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = { "default_lease_ttl" = [] "max_lease_ttl" = [] "description" = [] }
}
path "sys/auth" {
  capabilities = ["read"]
}
path "sys/quotas/rate-limit/+" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/storage/raft/configuration" {
  capabilities = ["read"]
}
path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}
path "sys/step-down" {
  capabilities = ["update", "sudo"]
}
path "sys/seal" {
  capabilities = ["update", "sudo"]
}
${DENIED.map(path => `path "${path}" {\n  capabilities = ["deny"]\n}\n`).join('')}`

/** The names of a tenant's policies, with their text. */
export const policiesOf = (tenant: string, accessor: string): Readonly<Record<string, string>> => ({
  [policyOf('owner', tenant)]: ownerPolicy(tenant, accessor),
  [policyOf('outbox', tenant)]: outboxPolicy(tenant),
  [policyOf('restore', tenant)]: restorePolicy(tenant),
  [policyOf('approver', tenant)]: approverPolicy(),
})
