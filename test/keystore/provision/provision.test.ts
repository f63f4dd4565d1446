// Provisioning a real server: once makes it, again changes nothing, and whatever somebody altered is put right and named.
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { type Connection, readConnection } from '#keystore-client/connection.ts'
import { createKeystore } from '#keystore-client/keystore.ts'
import { openAdminSession } from '#keystore-client/session.ts'
import { provision } from '#keystore-provision/provision.ts'
import { provisionConnection } from '#keystore-provision/site-connection.ts'
import { roleOf } from '#keystore-provision/tenant.ts'
import { readData } from '#keystore-provision/wanted.ts'
import { holdfast } from '../../agent/cli/holdfast.ts'
import { newEscrow, newFacts, opensKey, startProvisioned, TENANT } from '../client/provisioned.ts'

const site = await startProvisioned()
test.after.always(() => site.close())
const { cluster, connection, admin } = site

const again = (wanted: object = {}): ReturnType<typeof provisionConnection> =>
  provisionConnection(connection, cluster.rootToken, { tenants: Object.keys(connection.tenants), previous: connection, ...wanted })

test.serial('a second run changes nothing, says nothing, and makes the same connection', async t => {
  const { connection: second, changes } = await again()
  t.deepEqual(changes, [])
  t.deepEqual(second, connection)
})

test.serial('a server that was started again is as it was provisioned', async t => {
  const [node] = cluster.nodes
  await node?.kill()
  await node?.start()
  await node?.unseal()
  await cluster.active()
  t.deepEqual((await again()).changes, [])
})

const ALTERED: Readonly<Record<string, [path: string, data: object, said: string]>> = {
  'a policy that was widened': [
    'sys/policies/acl/outbox-acme',
    { policy: 'path "kv-acme/*" { capabilities = ["read"] }' },
    'tenant acme: policy outbox-acme: policy changed',
  ],
  'a role with a second policy': [
    'auth/jwt-acme/role/restore',
    { ...roleOf({}, TENANT, 'restore'), token_policies: ['restore-acme', 'operator'] },
    'tenant acme: role restore: token_policies changed',
  ],
  'a role whose tokens last longer': [
    'auth/jwt-acme/role/owner',
    { ...roleOf({}, TENANT, 'owner'), token_num_uses: 0, token_ttl: 3600, token_max_ttl: 3600 },
    'tenant acme: role owner: token_num_uses, token_ttl, token_max_ttl changed',
  ],
  'sign-ins that another key signs': [
    'auth/jwt-acme/config',
    {
      jwt_validation_pubkeys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString()],
      bound_issuer: connection.issuer,
      jwt_supported_algs: ['ES256'],
    },
    'tenant acme: sign-ins: jwt_validation_pubkeys changed',
  ],
  'entries that may have versions': [
    'kv-acme/config',
    { cas_required: false, max_versions: 10 },
    'tenant acme: kv-acme/config: cas_required, max_versions changed',
  ],
  'approvers with a policy': ['identity/group/name/approvers-acme', { type: 'internal', policies: ['operator'] }, 'tenant acme: approvers: policies changed'],
  'an operator who may do everything': [
    'sys/policies/acl/operator',
    { policy: 'path "*" { capabilities = ["sudo", "read"] }' },
    'policy operator: policy changed',
  ],
  'a header that the audit log hides': [
    'sys/config/auditing/request-headers/x-holdfast-request',
    { hmac: true },
    'audit header x-holdfast-request: kept from now on',
  ],
  'a limit that was loosened': [
    'sys/quotas/rate-limit/sign-in-owner-acme',
    { path: 'auth/jwt-acme/', role: 'owner', rate: 1_000_000, interval: 60 },
    'tenant acme: quota sign-in-owner-acme: rate changed',
  ],
  'refusals that are not logged': [
    'sys/quotas/config',
    { enable_rate_limit_audit_logging: false, enable_rate_limit_response_headers: true },
    'quotas: enable_rate_limit_audit_logging changed',
  ],
}
for (const [what, [path, data, said]] of Object.entries(ALTERED))
  test.serial(`${what} is put right, and nothing else is touched`, async t => {
    await admin.write(path, data)
    t.deepEqual((await again()).changes, [said])
    t.deepEqual((await again()).changes, [])
  })

test.serial('a limit and networks that were set stay until others are asked for', async t => {
  t.deepEqual((await again({ fetches_per_minute: 90_000, callers: ['127.0.0.0/8'] })).changes.length, 2 * (5 + 3))
  t.deepEqual((await again({ fetches_per_minute: 90_000, callers: ['127.0.0.0/8'] })).changes, [])
  await admin.write('auth/jwt-acme/role/owner', { ...roleOf({}, TENANT, 'owner'), token_num_uses: 5 })
  t.deepEqual((await again()).changes, ['tenant acme: role owner: token_num_uses changed'])
  t.deepEqual((await readData(admin, 'auth/jwt-acme/role/owner'))?.['token_bound_cidrs'], ['127.0.0.0/8'])
  t.is((await readData(admin, 'sys/quotas/rate-limit/decrypt-acme'))?.['rate'], 90_000)
  await admin.remove('sys/quotas/rate-limit/approve-acme')
  t.deepEqual((await again()).changes, ['tenant acme: quota approve-acme: made'])
})

test.serial('an appliance at an address that is not allowed signs in no more', async t => {
  const escrow = await newEscrow(site)
  await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  await again({ callers: ['192.0.2.0/24'] })
  const stranger = createKeystore(connection)
  await t.throwsAsync(stranger.openOwn(TENANT, escrow.slot, escrow.kid, newFacts()), { code: 'KEYSTORE_REFUSED' })
  await t.throwsAsync(stranger.isEscrowed(TENANT, escrow.slot, escrow.kid), { code: 'KEYSTORE_REFUSED' })
  await again({ callers: ['127.0.0.1/32'] })
  t.true(opensKey((await stranger.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())).opened, escrow))
  t.deepEqual((await again({ callers: ['127.0.0.1/32'] })).changes, [])
  stranger.close()
})

test.serial('a tenant that is added leaves the others, and their identities, as they are', async t => {
  const { connection: more, changes } = await again({ tenants: ['initech'] })
  t.true(changes.every(change => change.startsWith('tenant initech: ')))
  t.deepEqual({ ...more.tenants, initech: undefined }, { ...connection.tenants, initech: undefined })
  t.is(more.jwt_key, connection.jwt_key)
})

test.serial('what is in the way of a tenant is a conflict, and stays', async t => {
  await admin.write('sys/mounts/kv-hooli', { type: 'transit' })
  await t.throwsAsync(again({ tenants: ['hooli'] }), { code: 'PROVISION_CONFLICT' })
  await admin.write('tr-acme/keys/identity/rotate', {})
  await t.throwsAsync(again(), { code: 'PROVISION_CONFLICT' })
})

test.serial('a name that is not allowed makes nothing', async t => {
  for (const name of ['', 'A', 'a/b', '..', '+', 'a_b', '-a', 'x'.repeat(65)])
    await t.throwsAsync(again({ tenants: [name] }), { code: 'KEYSTORE_NAME_INVALID' }, name)
})

test.serial('who has no root token provisions nothing', async t => {
  const session = openAdminSession(site.transport, connection.addresses[0] ?? '', { token: 's.nobody' })
  await t.throwsAsync(provision(session, { issuer: 'x', jwt_public_key: '', tenants: [] }), { code: 'KEYSTORE_REFUSED' })
})

test.serial('the command sets a server up from files, writes the connection for its owner alone, and the second time says that all is well', async t => {
  const folder = site.folder
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const out = join(folder, 'out.json')
  const keystore = (...words: string[]) =>
    holdfast(['provision', '--connection', out, '--json', ...words], { launcher: 'holdfast-keystore', input: `${cluster.rootToken}\n` })

  const missing = await keystore('--token-file', '-')
  t.is(missing.code, 2)
  t.regex(missing.err, /^PROVISION_OPTIONS_MISSING: /)
  t.false(existsSync(out))

  const { certificate, key } = await cluster.makeClient('appliance')
  const reach = ['--ca', file('ca.pem', cluster.ca), '--certificate', file('client.pem', certificate), '--key', file('client.key', key)]
  const first = await keystore('--token-file', '-', '--address', ...cluster.addresses, ...reach, '--tenant', 'umbrella')
  t.is(first.code, 0, first.err)
  t.is(statSync(out).mode & 0o777, 0o600)
  const made: Connection = readConnection(out)
  t.deepEqual(Object.keys(made.tenants), ['umbrella'])
  t.false(readFileSync(out, 'utf8').includes(cluster.rootToken))

  const second = await keystore('--token-file', '-')
  t.is(second.code, 0, second.err)
  t.deepEqual((JSON.parse(second.out) as { changes: string[] }).changes, [])
  t.deepEqual(readConnection(out), made)
})
