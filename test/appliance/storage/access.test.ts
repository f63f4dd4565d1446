// Every way in that must be shut: certificates, tickets, devices that are out. After each refusal the way that is open
// still works, and what was stored is there.
import { generateKeyPairSync } from 'node:crypto'
import test from 'ava'
import { makeCa, makeDevice } from '../../site-certificates.ts'
import { agentOf, ask, idOf, makeClient, makeRecord, startNode } from './client.ts'

const HOUR_S = 3600

test('without a certificate of the site nothing is told, whatever ticket is shown', async t => {
  const { site, url, client } = await startNode(t)
  const strangers = {
    none: undefined,
    'of another CA': await makeDevice(await makeCa('Another site')),
    expired: await site.device({ until_ms: Date.now() - 1000 }),
  }
  for (const [which, credentials] of Object.entries(strangers)) {
    const agent = agentOf(site, credentials)
    for (const path of [`/v1/archives/${client.device.archive}`, '/v1/health']) {
      const refused = await ask(url, agent, { method: 'GET', path, headers: { authorization: `Ticket ${client.ticket}` } })
      t.like(refused, { status: 401, code: 'CERTIFICATE_REQUIRED' }, `${which}: ${path}`)
    }
    agent.destroy()
  }
  t.like(await ask(url, client.agent, { method: 'GET', path: '/v1/health' }), { status: 200 })
})

test('a ticket that is altered, of another signer, of another kind, expired or missing is refused, and nothing is lost', async t => {
  const { site, client } = await startNode(t)
  const good = client.ticket
  const session = await client.open()
  const stored = makeRecord()
  await client.upload(session, stored)
  const now_s = Math.floor(Date.now() / 1000)
  const [head = '', claims = '', signature = ''] = good.split('.')
  const text = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const altered = text({ ...(JSON.parse(Buffer.from(claims, 'base64url').toString()) as object), verbs: ['backup', 'restore'], sub: 'f'.repeat(32) })
  const bad: Record<string, [ticket: string, code: string, status: number]> = {
    empty: ['', 'TICKET_INVALID', 401],
    'no ticket': ['abc', 'TICKET_INVALID', 401],
    'an altered signature': [`${head}.${claims}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`, 'TICKET_INVALID', 401],
    'altered claims': [`${head}.${altered}.${signature}`, 'TICKET_INVALID', 401],
    'no algorithm': [`${text({ alg: 'none', typ: 'holdfast-ticket+jwt' })}.${claims}.`, 'TICKET_INVALID', 401],
    'another signer': [await site.ticket(client.device, { key: generateKeyPairSync('ed25519').privateKey }), 'TICKET_INVALID', 401],
    'another type': [await site.ticket(client.device, { header: { typ: 'JWT' } }), 'TICKET_INVALID', 401],
    'another issuer': [await site.ticket(client.device, { claims: { iss: 'somebody' } }), 'TICKET_INVALID', 401],
    'another audience': [await site.ticket(client.device, { claims: { aud: 'somebody' } }), 'TICKET_INVALID', 401],
    'claims missing': [await site.ticket(client.device, { claims: { cnf: undefined } }), 'TICKET_INVALID', 401],
    expired: [await site.ticket(client.device, { claims: { iat: now_s - 600, exp: now_s - 60 } }), 'TICKET_EXPIRED', 401],
    'of a clock an hour slow': [await site.ticket(client.device, { claims: { iat: now_s - HOUR_S, exp: now_s - HOUR_S + 300 } }), 'TICKET_EXPIRED', 401],
    'of a clock an hour fast': [await site.ticket(client.device, { claims: { iat: now_s + HOUR_S, exp: now_s + HOUR_S + 300 } }), 'TICKET_INVALID', 401],
    'for another archive': [await site.ticket(client.device, { claims: { archive: '0'.repeat(32) } }), 'TICKET_NOT_FOR_THIS', 403],
    'for another verb': [await site.ticket(client.device, { claims: { verbs: ['restore'] } }), 'TICKET_NOT_FOR_THIS', 403],
  }
  for (const [what, [ticket, code, status]] of Object.entries(bad)) {
    client.ticket = ticket
    t.like(await client.upload(session, makeRecord()), { status, code }, what)
  }
  client.ticket = good
  t.like(await client.upload(session, makeRecord()), { status: 200 })
  t.true((await client.read([idOf(stored)])).body.equals(stored))
})

test("with a certificate of one's own, another's ticket and another's archive are of no use", async t => {
  const { site, url, client } = await startNode(t)
  const session = await client.open()
  const secret = makeRecord()
  await client.upload(session, secret)
  const other = await makeClient(site, url)
  const body = Buffer.from(idOf(secret))
  const at = (ticket: string): Parameters<typeof ask>[2] => ({
    path: `/v1/archives/${client.device.archive}/read`,
    headers: { authorization: `Ticket ${ticket}` },
    body,
  })
  t.like(await ask(url, other.agent, at(client.ticket)), { status: 403, code: 'TICKET_NOT_YOURS' })
  t.like(await ask(url, other.agent, at(other.ticket)), { status: 403, code: 'TICKET_NOT_FOR_THIS' })
  t.like(await other.read([idOf(secret)]), { status: 404 }, 'the id of a record is of no use in an archive that does not have it')
  t.true((await client.read([idOf(secret)])).body.equals(secret))
  other.close()
})

test('a device that is deauthorized is out at once, on open connections and during an upload, and stays out after a restart', async t => {
  const { site, url, client, restart } = await startNode(t)
  const session = await client.open()
  const authority = agentOf(site, site.authority)
  const body = { device: client.device.device, thumbprints: [client.device.thumbprint] }
  t.like(
    await ask(url, client.agent, { method: 'PUT', path: '/v1/deauthorized', body }),
    { status: 401, code: 'CERTIFICATE_REQUIRED' },
    'only the authority may',
  )

  const record = makeRecord(500_000)
  let told: Promise<{ status: number }> | undefined
  const deauthorize = (): void => void (told = ask(url, authority, { method: 'PUT', path: '/v1/deauthorized', body }))
  const cut = t.throwsAsync(
    client.ask('/records', {
      headers: { 'holdfast-session': session, 'content-type': 'application/octet-stream', 'content-length': record.length },
      send: request => void request.write(record.subarray(0, 100_000), deauthorize),
    }),
  )
  await cut
  t.like(await told, { status: 200 })
  t.like(await client.read([idOf(record)]), { status: 403, code: 'DEVICE_DEAUTHORIZED' })
  await restart()
  t.like(await client.read([idOf(record)]), { status: 403, code: 'DEVICE_DEAUTHORIZED' })
  const other = await makeClient(site, url)
  await other.open()
  other.close()
  authority.destroy()
})
