// The ceremony on a real keystore: shares that gpg alone can open, given from one terminal or from several, with mistakes.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createTransport } from '#keystore-client/transport.ts'
import { createUnsealing, type Progress } from '#keystore-operate/unseal.ts'
import { createAsker } from '#keystore-server/ask.ts'
import { makeCa, makeClient, makeServer } from '#keystore-server/certificates.ts'
import { startCluster } from '#keystore-server/cluster.ts'
import { HOST } from '#keystore-server/configuration.ts'
import { findServer } from '#keystore-server/find-server.ts'
import { createNode, makeNodeFolder } from '#keystore-server/node.ts'
import { freePorts } from '#keystore-server/ports.ts'
import { isFault } from '#protocol/fault.ts'
import { hasProgram, needing } from '../../programs.ts'
import { keystoreCommand } from './duty.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-unseal-'))
const three = await startCluster(join(folder, 'three'), { nodes: 3 })
const transport = createTransport({ addresses: [...three.addresses], ca: three.ca, certificate: three.clientCertificate, key: three.clientKey })
const { shares } = three
const [a = '', b = '', c = '', d = ''] = shares
/** A share of another keystore. */
const WRONG = `${a.slice(0, 2) === '00' ? '01' : '00'}${a.slice(2)}`
const access = join(folder, 'access.json')
writeFileSync(access, JSON.stringify({ addresses: three.addresses, ca: three.ca, certificate: three.clientCertificate, key: three.clientKey }))
// One after another: all use the one keystore.
test.after.always(async () => {
  transport.close()
  await three.stop()
  rmSync(folder, { recursive: true, force: true })
})

const given = (progress: readonly Progress[]): number[] => progress.map(one => one.given)
const notes = (progress: readonly Progress[]): string => progress.map(({ note }) => note ?? '').join('\n')
const sealAll = async (): Promise<void> => {
  for (const node of three.nodes) {
    await node.kill()
    await node.start()
  }
}
const unseal = (input: string, ...more: string[]): ReturnType<typeof keystoreCommand> =>
  keystoreCommand(['unseal', '--access', access, '--share-file', '-', ...more], { input })

test.serial('three holders at three terminals unseal every node', async t => {
  await sealAll()
  const first = await unseal(`${a}\n`)
  t.like(first, { code: 0, out: 'Not yet: other holders must give theirs.\n' })
  t.is(first.err.match(/1 of 3 shares/g)?.length, 3)
  t.regex((await unseal(`${Buffer.from(b, 'hex').toString('base64')}\n`)).err, /2 of 3 shares/)
  t.regex((await unseal(`${b}\n`)).err, /was given before/)
  t.like(await unseal(`${c}\n`), { code: 0, out: 'All nodes are unsealed.\n' })
  await three.active()
  t.like(await unseal(`${c}\n`, '--json'), { code: 0 })
})

test.serial('a holder who waits sees the others, and is told when somebody spoils it', async t => {
  await sealAll()
  const waiting = unseal(`${a}\n`, '--wait')
  const own = createUnsealing(transport, three.addresses)
  const until = async (count: number): Promise<void> => {
    while (!(await own.look()).every(one => one.given === count)) {}
  }
  await until(1)
  const other = await unseal(`${b}\n`)
  t.regex(other.err, /2 of 3/)
  t.regex((await unseal(`${WRONG}\n`)).err, /back at 0: this share is wrong, or one that was given at another terminal/)
  const { code, err, out } = await waiting
  t.is(code, 1, out)
  t.regex(err, /somebody set it back to 0/)
})

test.serial('at one terminal the wrong share of four is named, and every node is open all the same', async t => {
  await sealAll()
  const unsealing = createUnsealing(transport, three.addresses)
  t.deepEqual(given(await unsealing.give(a)), [1, 1, 1])
  t.deepEqual(given(await unsealing.give(WRONG)), [2, 2, 2])
  const spoiled = await unsealing.give(c)
  t.deepEqual(given(spoiled), [0, 0, 0])
  t.regex(notes(spoiled), /one of the 3 shares of this terminal is wrong; give one more/)
  const open = await unsealing.give(d)
  t.true(open.every(({ is_open }) => is_open))
  t.is(notes(open).trim(), 'share 2 of this terminal is wrong', 'the other nodes get the right ones at once')
  await three.active()
})

test.serial('what somebody else set back is given again with the next share', async t => {
  await sealAll()
  const unsealing = createUnsealing(transport, three.addresses)
  await unsealing.give(a)
  await unsealing.give(b)
  for (const address of three.addresses)
    await createAsker(address, { ca: three.ca, certificate: three.clientCertificate, key: three.clientKey }).ask({
      method: 'PUT',
      path: 'sys/unseal',
      body: { reset: true },
    })
  const open = await unsealing.give(c)
  t.true(open.every(({ is_open }) => is_open))
  await three.active()
})

test.serial('what is no share is given to nobody, and is in no error', async t => {
  const error = await t.throwsAsync(createUnsealing(transport, three.addresses).give(`${a}0`))
  t.true(isFault(error, 'SHARE_INVALID'))
  t.false(String(error).includes(a.slice(0, 20)))
})

const gpgTitle = 'a keystore whose shares only gpg can open: five holders, no share in clear on any disk'
const gpgTest = hasProgram('gpg') ? test.serial : test.serial.skip
gpgTest(hasProgram('gpg') ? gpgTitle : needing(gpgTitle, 'gpg'), async t => {
  const home = mkdtempSync('/tmp/hf-gpg-')
  t.teardown(() => {
    execFileSync('gpgconf', ['--homedir', home, '--kill', 'all'])
    rmSync(home, { recursive: true, force: true })
  })
  const gpg = (...words: string[]): Buffer =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--passphrase', '', '--pinentry-mode', 'loopback', ...words], { stdio: 'pipe' })
  const keys = ['h1', 'h2', 'h3', 'h4', 'h5', 'setup'].map((name, at) => {
    gpg('--quick-generate-key', `${name}@example.org`, 'future-default', 'default', 'never')
    const file = join(home, `${name}.pub`)
    writeFileSync(file, gpg(...(at % 2 === 0 ? ['--armor'] : []), '--export', `${name}@example.org`))
    return file
  })
  const [serversCa, clientsCa, [port = 0, cluster_port = 0]] = await Promise.all([makeCa('servers'), makeCa('clients'), freePorts(2)])
  const client = await makeClient(clientsCa, 'operator')
  const caller = { ca: serversCa.certificate, ...client }
  makeNodeFolder(join(folder, 'new'), await makeServer(serversCa, 'n1', [HOST]), serversCa.certificate, clientsCa.certificate)
  const node = createNode(await findServer(), join(folder, 'new'), { id: 'n1', port, cluster_port, peers: [], makesRoot: false }, caller)
  await node.start()
  t.teardown(() => node.stop())
  const own = join(folder, 'new.json')
  writeFileSync(own, JSON.stringify({ addresses: [node.address], ...caller }))
  const init = (out: string): ReturnType<typeof keystoreCommand> =>
    keystoreCommand(['init', '--access', own, '--pgp-keys', ...keys.slice(0, 5), '--root-pgp-key', keys[5] ?? '', '--out', out])
  const out = join(folder, 'ceremony')
  const made = await init(out)
  t.is(made.code, 0, made.err)
  t.deepEqual(readdirSync(out).toSorted(), ['root-token.pgp', ...[1, 2, 3, 4, 5].map(at => `share-${at}.pgp`)])
  t.regex((await init(join(folder, 'again'))).err, /^CEREMONY_REFUSED.*is/)

  const opened = [1, 3, 5].map(at =>
    gpg('--decrypt', join(out, `share-${at}.pgp`))
      .toString()
      .trim(),
  )
  for (const share of opened) t.like(await keystoreCommand(['unseal', '--access', own, '--share-file', '-'], { input: `${share}\n` }), { code: 0 })
  t.true(await node.ask({ method: 'GET', path: 'sys/seal-status' }).then(({ body }) => (body as { sealed: boolean }).sealed === false))
  t.regex(gpg('--decrypt', join(out, 'root-token.pgp')).toString(), /^s\./)

  const disk = readdirSync(join(folder, 'new'), { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  const files = [...disk.map(entry => join(entry.parentPath, entry.name)), ...readdirSync(out).map(name => join(out, name))]
  for (const file of files) {
    const bytes = readFileSync(file)
    for (const share of opened) t.false(bytes.includes(share) || bytes.includes(Buffer.from(share, 'hex')), file)
  }
})
