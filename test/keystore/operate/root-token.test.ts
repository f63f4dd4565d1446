// A root token takes three holders, and a token that can begin it; neither alone makes one.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { openAdminSession } from '#keystore-client/session.ts'
import { isFault } from '#protocol/fault.ts'
import { startProvisioned, TENANT } from '../client/provisioned.ts'
import { accessFile, keystoreCommand, tokenFile } from './duty.ts'

const site = await startProvisioned()
const { cluster, transport, admin, folder } = site
const access = accessFile(site)
const quorum = await tokenFile(site, 'quorum')
// One after another: there is one attempt at a time.
test.after.always(() => site.close())

const make = (shares: readonly string[], out = 'root', token = quorum): ReturnType<typeof keystoreCommand> =>
  keystoreCommand(['root-token', '--access', access, '--token-file', token, '--out', join(folder, out), '--shares-file', '-'], { input: shares.join('\n') })
const isStarted = async (): Promise<boolean> => ((await admin.read('sys/generate-root-token/attempt')) as { data: { started: boolean } }).data.started

test.serial('three shares and the token of the duty quorum make a root token, in a file for its owner only', async t => {
  const made = await make(cluster.shares.slice(2))
  t.is(made.code, 0, made.err)
  const file = join(folder, 'root')
  t.is(statSync(file).mode & 0o777, 0o600)
  const root = openAdminSession(transport, cluster.addresses[0] ?? '', { token: readFileSync(file, 'utf8').trim() })
  t.like(await root.read('auth/token/lookup-self'), { data: { policies: ['root'] } })
  await root.write('auth/token/revoke-self', {})
})

test.serial('two shares, a wrong one, or a token of another duty make none, and leave no attempt behind', async t => {
  const [a = '', b = ''] = cluster.shares
  const wrong = `${a.startsWith('00') ? '01' : '00'}${a.slice(2)}`
  t.like(await make([a, b], 'none'), { code: 2 })
  t.false(await isStarted())
  t.regex((await make([wrong, b, cluster.shares[2] ?? ''], 'none')).err, /ROOT_TOKEN_REFUSED/)
  t.false(await isStarted())
  t.like(await make(cluster.shares, 'none', await tokenFile(site, 'watch')), { code: 4 })
})

test.serial('an attempt that somebody else has begun is not taken over', async t => {
  await admin.write('sys/generate-root-token/attempt', {})
  t.regex((await make(cluster.shares, 'none')).err, /^ROOT_TOKEN_REFUSED.*somebody else/)
  t.true(await isStarted())
  await admin.remove('sys/generate-root-token/attempt')
})

test.serial('the token of the duty quorum does nothing else', async t => {
  const session = openAdminSession(transport, cluster.addresses[0] ?? '', { token: readFileSync(quorum, 'utf8').trim() })
  for (const path of ['sys/mounts', `tr-${TENANT}/keys/identity`, 'sys/storage/raft/snapshot'])
    t.true(isFault(await t.throwsAsync(session.read(path)), 'KEYSTORE_REFUSED'), path)
  t.true(isFault(await t.throwsAsync(session.write('auth/token/create', {})), 'KEYSTORE_REFUSED'))
})
