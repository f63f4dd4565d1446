// The real server: that it comes up as it is configured, refuses who may not connect, and survives its leader.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect, type SecureContextOptions, type SecureVersion } from 'node:tls'
import test from 'ava'
import { type Asker, createAsker } from '#keystore-server/ask.ts'
import { makeCa, makeClient } from '#keystore-server/certificates.ts'
import { type Cluster, type ClusterNode, startCluster } from '#keystore-server/cluster.ts'
import { until } from '#keystore-server/conditions.ts'
import { HOST } from '#keystore-server/configuration.ts'
import { findServer } from '#keystore-server/find-server.ts'
import { createNode, makeNodeFolder } from '#keystore-server/node.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-cluster-'))
let one: Cluster
test.before(async () => {
  one = await startCluster(join(folder, 'one'), { nodes: 1 })
})
test.after.always(async () => {
  await one?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const callerOf = (cluster: Cluster) => ({ ca: cluster.ca, certificate: cluster.clientCertificate, key: cluster.clientKey })
const askerOf = (cluster: Cluster, address = cluster.addresses[0] ?? ''): Asker => createAsker(address, callerOf(cluster))

/** How a connection ends: what was answered to a request, or the error. */
function connection(options: SecureContextOptions & { maxVersion?: SecureVersion; minVersion?: SecureVersion }): Promise<string> {
  const { hostname, port } = new URL(one.addresses[0] ?? '')
  return new Promise(resolve => {
    const socket = connect({ host: hostname, port: Number(port), ca: one.ca, ...options })
    socket.on('error', error => resolve(error.message))
    socket.on('secureConnect', () => socket.write(`GET /v1/sys/health HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`))
    socket.on('data', (part: Buffer) => {
      socket.destroy()
      resolve(part.toString().split('\r\n')[0] ?? '')
    })
    socket.on('close', () => resolve('closed'))
  })
}

test('a client with a certificate is answered over TLS 1.3, by an unsealed, active server', async t => {
  t.is(await connection({ cert: one.clientCertificate, key: one.clientKey, minVersion: 'TLSv1.3' }), 'HTTP/1.1 200 OK')
  const { certificate, key } = await one.makeClient('another')
  t.is(await connection({ cert: certificate, key }), 'HTTP/1.1 200 OK')
})

test('TLS 1.2 is refused', async t => {
  t.regex(await connection({ cert: one.clientCertificate, key: one.clientKey, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), /protocol version/i)
})

test('a client without a certificate is refused, and so is one whose certificate is of another CA', async t => {
  t.regex(await connection({}), /certificate required/i)
  const { certificate, key } = await makeClient(await makeCa('keystore clients'), 'admin')
  t.regex(await connection({ cert: certificate, key }), /unknown ca|bad certificate|certificate/i)
})

test('what is asked is in both audit files, which are for their owner only and which root cannot turn off', async t => {
  const [first = '', second = ''] = one.auditFiles
  const { status } = await askerOf(one).ask({ method: 'GET', path: 'sys/audit', token: one.rootToken })
  t.is(status, 200)
  for (const file of [first, second]) {
    t.is(statSync(file).mode & 0o777, 0o600)
    t.true(readFileSync(file, 'utf8').includes('"path":"sys/audit"'), file)
  }
  const off = await askerOf(one).ask({ method: 'DELETE', path: 'sys/audit/file-a', token: one.rootToken })
  t.is(off.status, 400)
})

test.serial('a sealed server gives nothing out until three of five shares were given', async t => {
  const [node] = one.nodes
  if (!node) return t.fail()
  await node.seal()
  t.is((await askerOf(one).ask({ method: 'GET', path: 'sys/mounts', token: one.rootToken })).status, 503)
  await node.unseal()
  await one.active()
  t.is((await askerOf(one).ask({ method: 'GET', path: 'sys/mounts', token: one.rootToken })).status, 200)
})

test('a server that cannot listen says so with the end of its log', async t => {
  const taken = createServer(socket => socket.destroy())
  await new Promise<void>(resolve => taken.listen(0, HOST, resolve))
  t.teardown(() => taken.close())
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const ca = await makeCa('keystore servers')
  const node = join(folder, 'taken')
  makeNodeFolder(node, await makeClient(ca, 'not a server'), ca.certificate, ca.certificate)
  const settings = { id: 'n1', port, cluster_port: port + 1, peers: [], makesRoot: false }
  const started = createNode(await findServer(), node, settings, callerOf(one)).start()
  await t.throwsAsync(started, { message: /^KEYSTORE_SERVER_FAILED.*address already in use/s })
})

test('of three nodes each can be sealed or killed, the active one too: another is active, and the first comes back', async t => {
  const cluster = await startCluster(join(folder, 'three'), { nodes: 3 })
  const untilStatus = (node: ClusterNode, status: number): Promise<boolean> =>
    until(async () => (await askerOf(cluster, node.address).ask({ method: 'GET', path: 'sys/health' })).status === status, {
      what: `${node.address} to answer ${status}`,
      timeout_ms: 60_000,
    })
  try {
    t.is(new Set(cluster.nodes.map(node => node.pid)).size, 3)
    const before = await cluster.active()
    const standby = cluster.nodes.find(node => node.address !== before.address) ?? before
    await standby.seal()
    await untilStatus(standby, 503)
    await standby.unseal()
    await untilStatus(standby, 429)
    t.is((await cluster.active()).address, before.address)

    await before.kill()
    t.is(before.pid, undefined)
    t.not((await cluster.active()).address, before.address)
    await before.start()
    await before.unseal()
    await untilStatus(before, 429)
  } finally {
    await cluster.stop()
  }
})

test('no server outlives the process that started it, not even when that is killed', async t => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'cluster-child.ts'), join(folder, 'killed')], { stdio: ['ignore', 'pipe', 'inherit'] })
  const pid = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve)
    child.once('close', () => reject(new Error('the child ended')))
  })
  t.true(existsSync(`/proc/${pid}`))
  child.kill('SIGKILL')
  // What is gone but not yet reaped is gone.
  const isGone = (): boolean => !existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  await until(async () => isGone(), { what: 'the server to be gone', timeout_ms: 10_000 })
  t.pass()
})
