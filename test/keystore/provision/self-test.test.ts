// The self-test finds nothing on a server as it was provisioned, and finds what somebody loosened.
import { join } from 'node:path'
import test from 'ava'
import { writeConnection } from '#keystore-client/connection.ts'
import { jwtOf, personOf, policyOf } from '#keystore-client/names.ts'
import { addApprover, entityOf, removeApprover } from '#keystore-provision/approvers.ts'
import { type Row, selfTest } from '#keystore-provision/self-test.ts'
import { mounted, roleOf } from '#keystore-provision/tenant.ts'
import { readData } from '#keystore-provision/wanted.ts'
import { holdfast } from '../../agent/cli/holdfast.ts'
import { startProvisioned, TENANT } from '../client/provisioned.ts'

const site = await startProvisioned()
test.after.always(() => site.close())
const { admin, cluster, connection } = site

const wrongRows = async (): Promise<string[]> => (await selfTest(connection, cluster.rootToken, TENANT)).filter(({ ok }) => !ok).map(({ what }) => what)
const keysAt = async (path: string): Promise<string[]> => ((await admin.list(path)) as { data: { keys: string[] } }).data.keys

test.serial('everything that must be refused is refused, and the test leaves nothing behind', async t => {
  const left = async (): Promise<unknown> => [
    await keysAt('sys/policies/acl'),
    await keysAt(`auth/${jwtOf(TENANT)}/role`),
    await keysAt(`tr-${TENANT}/keys`),
    await keysAt('identity/group/name'),
    (await readData(admin, 'identity/group/name/approvers-acme'))?.['member_entity_ids'] ?? [],
  ]
  const before = await left()
  const rows: readonly Row[] = await selfTest(connection, cluster.rootToken, TENANT)
  t.deepEqual(
    rows.filter(({ ok }) => !ok),
    [],
  )
  t.true(rows.length > 80)
  t.is(new Set(rows.map(({ what }) => what)).size, rows.length)
  t.deepEqual(await left(), before)
})

test.serial('a second policy on the role of restores is found', async t => {
  const path = `auth/${jwtOf(TENANT)}/role/restore`
  await admin.write('sys/policies/acl/aa-plain', { policy: `path "tr-${TENANT}/decrypt/+" { capabilities = ["update"] }` })
  await admin.write(path, { ...roleOf({}, TENANT, 'restore'), token_policies: ['aa-plain', policyOf('restore', TENANT)] })
  t.deepEqual(await wrongRows(), ['nothing lifts the guard of restores', 'restore: all of it could be tried'])
  await admin.write(path, roleOf({}, TENANT, 'restore'))
})

test.serial('a policy on somebody who may ask for restores, or on a group, is found', async t => {
  await addApprover(admin, TENANT, 'cid', 'a password for tests')
  const { accessor } = await mounted(admin, 'sys/auth', jwtOf(TENANT))
  const id = (await entityOf(admin, { name: personOf('cid'), mount_accessor: accessor })) ?? ''
  const lifted = ['nothing lifts the guard of restores']
  await admin.write(`identity/entity/id/${id}`, { policies: ['aa-plain'] })
  t.deepEqual(await wrongRows(), lifted)
  await admin.write(`identity/entity/id/${id}`, { policies: [] })
  await admin.write('identity/group/name/everybody', { type: 'internal', policies: ['aa-plain'] })
  t.deepEqual(await wrongRows(), lifted)
  await admin.remove('identity/group/name/everybody')
  await admin.write(`auth/${jwtOf(TENANT)}/role/beside`, { ...roleOf({}, TENANT, 'restore'), token_policies: ['aa-plain'] })
  t.deepEqual(await wrongRows(), lifted)
  await admin.remove(`auth/${jwtOf(TENANT)}/role/beside`)
  await removeApprover(admin, TENANT, 'cid')
  t.deepEqual(await wrongRows(), [])
})

test.serial('a limit that somebody lifted is found', async t => {
  const path = `sys/quotas/rate-limit/sign-in-owner-${TENANT}`
  const quota = await readData(admin, path)
  await admin.remove(path)
  t.deepEqual(await wrongRows(), ['every limit of fetches and sign-ins is as it was set'])
  await admin.write(path, { path: quota?.['path'], role: quota?.['role'], rate: quota?.['rate'], interval: quota?.['interval'] })
  t.deepEqual(await wrongRows(), [])
})

test.serial('an outbox that may read, an operator who may too, and owners who may list are each found', async t => {
  const loosened: readonly [policy: string, more: string, found: readonly string[]][] = [
    [policyOf('outbox', TENANT), `path "kv-${TENANT}/data/+/+" { capabilities = ["create", "read"] }`, ['the outbox reads an escrow']],
    ['operator', `path "kv-${TENANT}/data/*" { capabilities = ["read"] }`, ['an operator reads an escrow']],
    [policyOf('owner', TENANT), `path "kv-${TENANT}/metadata/*" { capabilities = ["list"] }`, ['a list of the own slot']],
  ]
  for (const [name, more, found] of loosened) {
    const policy = String((await readData(admin, `sys/policies/acl/${name}`))?.['policy'])
    await admin.write(`sys/policies/acl/${name}`, { policy: `${policy}\n${more}` })
    const wrong = await wrongRows()
    for (const what of found) t.true(wrong.includes(what), `${name}: ${wrong.join('; ')}`)
    await admin.write(`sys/policies/acl/${name}`, { policy })
  }
})

test.serial('the command prints the table and ends with 0, or with 1 and the row that is wrong', async t => {
  const file = join(site.folder, 'connection.json')
  writeConnection(file, { ...connection, tenants: { [TENANT]: connection.tenants[TENANT] ?? { identity: '' } } })
  const run = () =>
    holdfast(['provision', '--connection', file, '--self-test', '--token-file', '-'], { launcher: 'holdfast-keystore', input: `${cluster.rootToken}\n` })
  const well = await run()
  t.is(well.code, 0, well.err)
  t.regex(well.out, /an owner opens the own escrow +opened +opened +ok/)
  await admin.write(`auth/${jwtOf(TENANT)}/role/beside`, { ...roleOf({}, TENANT, 'restore') })
  const wrong = await run()
  t.is(wrong.code, 1)
  t.regex(wrong.out, /nothing lifts the guard of restores +nothing +jwt-acme has another role, beside +WRONG/)
})
