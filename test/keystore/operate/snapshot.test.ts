// Snapshots of a real keystore, and the worst day: it is gone, and comes back with every key.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { createKeystore } from '#keystore-client/keystore.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { takeSnapshot, wholeGzip } from '#keystore-operate/snapshot.ts'
import { lastSnapshot, snapshotsIn } from '#keystore-operate/snapshot-record.ts'
import { startCluster } from '#keystore-server/cluster.ts'
import { isFault } from '#protocol/fault.ts'
import { newEscrow, newFacts, opensKey, startProvisioned, TENANT } from '../client/provisioned.ts'
import { accessFile, keystoreCommand, tokenFile } from './duty.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-snapshots-'))
const site = await startProvisioned()
const { cluster, connection, transport, keystore } = site
const access = accessFile(site)
const token = await tokenFile(site, 'snapshot')
const connectionFile = join(folder, 'keystore.json')
writeFileSync(connectionFile, JSON.stringify(connection))
const [identity, canary, out] = [join(folder, 'identity'), join(folder, 'canary.json'), join(folder, 'snapshots')]
const escrow = await newEscrow(site)
await keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
let recipient = ''
// One after another: they use what the ones before made.
test.after.always(async () => {
  await site.close()
  rmSync(folder, { recursive: true, force: true })
})

const take = (...more: string[]): ReturnType<typeof keystoreCommand> =>
  keystoreCommand(['snapshot', 'take', '--access', access, '--token-file', token, '--out', out, '--recipient', recipient, ...more])
const shares = `${cluster.shares.slice(1, 4).join('\n')}\n`
const rehearse = (file: string, input = shares): ReturnType<typeof keystoreCommand> =>
  keystoreCommand(['snapshot', 'rehearse', file, '--identity-file', identity, '--canary', canary, '--shares-file', '-', '--scratch', folder], { input })

test.serial('a snapshot is whole, encrypted, in the record, and nothing of it is readable', async t => {
  const made = await keystoreCommand(['snapshot', 'key', '--out', identity])
  recipient = made.out.trim()
  t.is(statSync(identity).mode & 0o777, 0o600)
  t.is(
    (await keystoreCommand(['snapshot', 'canary', '--connection', connectionFile, '--out', canary, '--token-file', '-'], { input: `${cluster.rootToken}\n` }))
      .code,
    0,
  )
  const taken = await take('--json')
  t.is(taken.code, 0, taken.err)
  const entry = lastSnapshot(out)
  t.deepEqual(JSON.parse(taken.out), entry)
  const bytes = readFileSync(join(out, entry?.file ?? ''))
  t.is(bytes.length, entry?.bytes ?? 0)
  t.false(bytes.includes('state.bin'))
  t.is(statSync(join(out, entry?.file ?? '')).mode & 0o777, 0o600)
  const status = await keystoreCommand(['status', '--access', access, '--snapshots', out, '--json'])
  t.deepEqual((JSON.parse(status.out) as { snapshot: unknown }).snapshot, entry)
})

test.serial('a rehearsal opens the canary in a scratch keystore with the shares of the real one, and leaves nothing behind', async t => {
  const { file = '' } = lastSnapshot(out) ?? {}
  const before = readdirSync(folder)
  const done = await rehearse(join(out, file))
  t.is(done.code, 0, done.err)
  t.regex(done.out, /The snapshot is good/)
  t.deepEqual(readdirSync(folder), before)
})

test.serial('a canary that is not in the snapshot, and a snapshot that was cut short, fail the rehearsal', async t => {
  const { file = '' } = lastSnapshot(out) ?? {}
  const good = readFileSync(canary)
  const value = JSON.parse(good.toString()) as { kid: string }
  writeFileSync(canary, JSON.stringify({ ...value, kid: `1-${'0'.repeat(32)}` }))
  t.like(await rehearse(join(out, file)), { code: 6 })
  writeFileSync(canary, good)
  const short = join(folder, 'short.age')
  writeFileSync(short, readFileSync(join(out, file)))
  truncateSync(short, statSync(short).size - 20)
  const refused = await rehearse(short)
  t.is(refused.code, 6)
  t.regex(refused.err, /AGE_DAMAGED/)
})

test.serial('when all is lost, the snapshot in a new keystore gives every key back', async t => {
  const { file = '' } = lastSnapshot(out) ?? {}
  const fresh = await startCluster(join(folder, 'fresh'), { nodes: 1 })
  t.teardown(() => fresh.stop())
  const newAccess = { addresses: [...fresh.addresses], ca: fresh.ca, certificate: fresh.clientCertificate, key: fresh.clientKey }
  const newAccessFile = join(folder, 'fresh.json')
  writeFileSync(newAccessFile, JSON.stringify(newAccess))
  const restored = await keystoreCommand(
    ['snapshot', 'restore', join(out, file), '--access', newAccessFile, '--identity-file', identity, '--token-file', '-'],
    {
      input: `${fresh.rootToken}\n`,
    },
  )
  t.is(restored.code, 0, restored.err)
  const looking = createTransport(newAccess)
  t.teardown(() => looking.close())
  while (((await looking.send({ address: fresh.addresses[0] ?? '', method: 'GET', path: 'sys/seal-status' })).body as { sealed?: boolean }).sealed !== true) {}
  for (const share of cluster.shares.slice(2)) await keystoreCommand(['unseal', '--access', newAccessFile, '--share-file', '-'], { input: `${share}\n` })
  await fresh.active()
  const again = createKeystore({ ...connection, ...newAccess })
  t.teardown(() => again.close())
  const { opened } = await again.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())
  t.true(opensKey(opened, escrow))
})

test.serial('only so many of the newest are kept, and what a crash left is removed', async t => {
  const taking = { access: connection, transport, token: readFileSync(token, 'utf8').trim(), folder: join(folder, 'few'), recipients: [recipient], keep: 2 }
  const at = (minute: number): number => Date.UTC(2026, 0, 1, 0, minute)
  for (const minute of [1, 2]) await takeSnapshot({ ...taking, now_ms: at(minute) })
  writeFileSync(join(taking.folder, 'keystore-20250101T000000Z.snapshot.age.new'), 'half')
  await takeSnapshot({ ...taking, now_ms: at(3) })
  const names = ['keystore-20260101T000200Z.snapshot.age', 'keystore-20260101T000300Z.snapshot.age']
  t.deepEqual(
    snapshotsIn(taking.folder).map(({ file }) => file),
    names,
  )
  t.deepEqual(readdirSync(taking.folder).toSorted(), [...names, 'snapshots.json'])
})

test.serial('a stream that ends early is no snapshot', async t => {
  const gzip = gzipSync(randomBytes(200_000))
  const through = (bytes: Buffer): Promise<Buffer[]> => Array.fromAsync(wholeGzip(Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)])))
  t.true(Buffer.concat(await through(gzip)).equals(gzip))
  for (const bad of [gzip.subarray(0, -1), gzip.subarray(0, 100_000), Buffer.alloc(0), Buffer.from('{"errors":[]}')])
    t.true(isFault(await t.throwsAsync(through(bad)), 'KEYSTORE_SNAPSHOT_INCOMPLETE'), `${bad.length} bytes`)
})

test.serial('with --every one is taken again and again, until it is told to stop', async t => {
  const often = join(folder, 'often')
  const words = ['snapshot', 'take', '--access', access, '--token-file', token, '--out', often, '--recipient', recipient, '--every', '1s']
  const running = keystoreCommand(words, {
    onStart: child => {
      let lines = 0
      child.stdout?.on('data', (part: Buffer) => {
        lines += part.toString().split('\n').length - 1
        if (lines >= 2) child.kill('SIGTERM')
      })
    },
  })
  t.is((await running).code, 0)
  t.true(snapshotsIn(often).length >= 2)
})

test.serial('a token of another duty takes no snapshot', async t => {
  const other = readFileSync(await tokenFile(site, 'watch'), 'utf8').trim()
  const error = await t.throwsAsync(
    takeSnapshot({ access: connection, transport, token: other, folder: join(folder, 'none'), recipients: [recipient], keep: 1, now_ms: 0 }),
  )
  t.true(isFault(error, 'KEYSTORE_REFUSED'))
  t.deepEqual(readdirSync(join(folder, 'none')), [])
})
