// The transport against peers that mean harm, and in an environment that does. A peer here is no imitation of a keystore: it
// is somebody who has its certificate.
import { execFile } from 'node:child_process'
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import test from 'ava'
import { writeConnection } from '#keystore-client/connection.ts'
import { openAdminSession, openSession } from '#keystore-client/session.ts'
import { ANSWER_BYTES_MAX, createTransport, type Transport } from '#keystore-client/transport.ts'
import { makeSite } from '../../site-certificates.ts'
import { newEscrow, newFacts, startProvisioned, TENANT } from './provisioned.ts'

const TOKEN = 's.a-token-to-look-for'
const certificates = await makeSite()
const site = await startProvisioned()
const closing: (() => unknown)[] = [() => site.close()]
test.after.always(async () => {
  for (const close of closing.reverse()) await close()
})

type Peer = { readonly address: string; readonly transport: Transport; readonly asked: string[] }

/** A server with a certificate that the client trusts, which answers as it likes. */
async function startPeer(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Peer> {
  const { ca, server: own, authority } = certificates
  const asked: string[] = []
  const server = createServer({ cert: own.certificate, key: own.key, ca: ca.certificate, requestCert: true, minVersion: 'TLSv1.3' }, (request, response) => {
    asked.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)}`)
    request.resume()
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const transport = createTransport({ addresses: [address], ca: ca.certificate, certificate: authority.certificate, key: authority.key })
  closing.push(
    () => server.closeAllConnections(),
    () => server.close(),
    () => transport.close(),
  )
  return { address, transport, asked }
}

test('a redirect is never followed, wherever it leads', async t => {
  const elsewhere = await startPeer((_, response) => response.end('{}'))
  const redirecting = await startPeer((_, response) => response.writeHead(307, { location: `${elsewhere.address}/v1/kv-acme/data/x` }).end())
  const session = openSession(redirecting.transport, redirecting.address, { token: TOKEN })
  await t.throwsAsync(session.read('kv-acme/data/x'), { code: 'KEYSTORE_LEADERLESS' })
  await t.throwsAsync(session.write('kv-acme/data/x', { data: {} }), { code: 'KEYSTORE_LEADERLESS' })
  t.deepEqual(elsewhere.asked, [])
  t.is(redirecting.asked.length, 2)
})

test('an address that is not in the connection file is not spoken to', async t => {
  const [mine, other] = [await startPeer((_, response) => response.end('{}')), await startPeer((_, response) => response.end('{}'))]
  await t.throwsAsync(openSession(mine.transport, other.address, { token: TOKEN }).read('sys/health'), { code: 'KEYSTORE_NAME_INVALID' })
  t.deepEqual(other.asked, [])
})

const json = { 'content-type': 'application/json' }
const ANSWERS: Readonly<Record<string, [code: string, answer: (response: ServerResponse) => unknown]>> = {
  'an answer that is longer than allowed': [
    'KEYSTORE_ANSWER_INVALID',
    response => response.writeHead(200, json).end(`{"data":"${'x'.repeat(ANSWER_BYTES_MAX)}"}`),
  ],
  'an answer that is no JSON': ['KEYSTORE_ANSWER_INVALID', response => response.writeHead(200, json).end('{"data":')],
  'an answer of another type': ['KEYSTORE_ANSWER_INVALID', response => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
  'an answer that is cut short': [
    'KEYSTORE_UNREACHABLE',
    response => response.writeHead(200, { ...json, 'content-length': '1000' }).write('{"data":', () => response.destroy()),
  ],
  'an answer that does not come in time': ['KEYSTORE_UNREACHABLE', () => {}],
  'an answer of which a byte comes now and then': [
    'KEYSTORE_UNREACHABLE',
    response => {
      response.writeHead(200, json)
      const timer = setInterval(() => response.write(' '), 100)
      response.on('close', () => clearInterval(timer))
    },
  ],
  'a node that is sealed': ['KEYSTORE_SEALED', response => response.writeHead(503, json).end('{"errors":["Vault is sealed"]}')],
  'a quota': ['KEYSTORE_BUSY', response => response.writeHead(429, json).end('{"errors":["rate limit quota exceeded"]}')],
  'a refusal': ['KEYSTORE_REFUSED', response => response.writeHead(403, json).end('{"errors":["1 error occurred: permission denied"]}')],
  'a standby that lost its leader': [
    'KEYSTORE_LEADERLESS',
    response => response.writeHead(500, json).end('{"errors":["local node not active but active cluster node not found"]}'),
  ],
  'a proxy that gave up': ['KEYSTORE_FAILED', response => response.writeHead(502, { 'content-type': 'text/html' }).end('<html>')],
}
for (const [what, [code, answer]] of Object.entries(ANSWERS))
  test(`${what} is told as ${code}, without token and body`, async t => {
    const peer = await startPeer((_, response) => void answer(response))
    const session = openSession(peer.transport, peer.address, { token: TOKEN, timeout_ms: 700 })
    const error = await t.throwsAsync(session.write('kv-acme/data/x', { data: { secret: 'a-body-to-look-for' } }), { code })
    t.is(peer.asked.filter(line => line.includes(TOKEN)).length, 1)
    const everything = JSON.stringify(error, Object.getOwnPropertyNames(error))
    t.false(everything.includes(TOKEN) || everything.includes('a-body-to-look-for') || everything.includes('permission denied'))
    t.is(error.cause, undefined)
  })

test('a path that could be taken for another one is not sent', async t => {
  const peer = await startPeer((_, response) => response.end('{}'))
  const session = openAdminSession(peer.transport, peer.address, { token: TOKEN })
  const paths = [
    '',
    '/sys/health',
    'sys//health',
    'sys/../health',
    'sys/./health',
    'sys/health/',
    'a/%2e%2e/b',
    'a%2fb',
    'a&#x2F;b',
    'a?b',
    'a#b',
    'a b',
    'a\nb',
    'a/+/b',
  ]
  for (const path of [...paths, 'ä', 'a/*', 'x'.repeat(401), '{{path}}']) {
    for (const act of [session.read, session.list, session.remove]) await t.throwsAsync(act(path), { code: 'KEYSTORE_NAME_INVALID' }, path)
    await t.throwsAsync(session.write(path, {}), { code: 'KEYSTORE_NAME_INVALID' }, path)
    await t.throwsAsync(peer.transport.send({ address: peer.address, method: 'GET', path }), { code: 'KEYSTORE_NAME_INVALID' }, path)
  }
  t.deepEqual(peer.asked, [])
})

test('a session has its token in none of its properties, and only what is meant can be called', t => {
  const session = openSession(site.transport, site.connection.addresses[0] ?? '', { token: TOKEN })
  t.deepEqual(Object.keys(session).toSorted(), ['address', 'read', 'write', 'writeForBytes'])
  t.false(JSON.stringify(session).includes(TOKEN))
})

test('a keystore with a certificate of another CA is told nothing', async t => {
  const access = { ...site.connection, ca: certificates.ca.certificate }
  const transport = createTransport(access)
  closing.push(() => transport.close())
  await t.throwsAsync(openSession(transport, site.connection.addresses[0] ?? '', { token: TOKEN }).read('sys/health'), { code: 'KEYSTORE_UNTRUSTED' })
})

test('a client without a certificate, or with one of another CA, gets no answer', async t => {
  const { authority } = certificates
  const transport = createTransport({ ...site.connection, certificate: authority.certificate, key: authority.key })
  closing.push(() => transport.close())
  await t.throwsAsync(openSession(transport, site.connection.addresses[0] ?? '').read('sys/seal-status'), { code: 'KEYSTORE_UNREACHABLE' })
})

test('nothing in the environment changes where a request goes, whom it trusts or what it carries', async t => {
  const trapped: string[] = []
  const trap = createPlainServer((request, response) => {
    trapped.push(`${request.method} ${request.url}`)
    response.end('{}')
  })
  trap.on('connect', (request, socket) => {
    trapped.push(`CONNECT ${request.url}`)
    socket.destroy()
  })
  await new Promise<void>(resolve => trap.listen(0, '127.0.0.1', resolve))
  closing.push(() => trap.close())
  const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}`
  const file = `${site.folder}/connection.json`
  writeConnection(file, site.connection)
  const escrow = await newEscrow(site)
  const facts = newFacts()
  const { stdout } = await promisify(execFile)(process.execPath, [`${import.meta.dirname}/environment-child.ts`], {
    env: {
      CHILD: JSON.stringify({ file, tenant: TENANT, slot: escrow.slot, kid: escrow.kid, sealed: escrow.sealed, facts, otherCa: certificates.ca.certificate }),
      ...Object.fromEntries(['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'VAULT_ADDR', 'BAO_ADDR'].map(name => [name, url])),
      NODE_USE_ENV_PROXY: '1',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_EXTRA_CA_CERTS: '/dev/null',
      VAULT_SKIP_VERIFY: '1',
      VAULT_TOKEN: TOKEN,
      VAULT_NAMESPACE: 'elsewhere',
      VAULT_PREFIX: '/elsewhere',
      DEBUG: '*',
    },
  })
  t.deepEqual(JSON.parse(stdout), { stored: 'stored', opened: 64, untrusted: 'KEYSTORE_UNTRUSTED' })
  t.deepEqual(trapped, [])
})
