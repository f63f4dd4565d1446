import { once } from 'node:events'
import { rmSync, statSync } from 'node:fs'
import { Agent } from 'node:https'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'node:tls'
import test from 'ava'
import { startAuthority } from '#authority/authority.ts'
import { makeCa, signDevice } from '#authority/certificates.ts'
import { readHome } from '#authority/home.ts'
import { AUTHORITY_PATHS, Device as DeviceShape, Ticket } from '#protocol/authority-api.ts'
import { LINK_MS, LINK_PASSWORD_TRIES_MAX } from '#protocol/limits.ts'
import { parsePairingLink } from '#protocol/pairing-link.ts'
import { createDeviceKey } from '#site/certificate-request.ts'
import { fetchCa } from '#site/pairing.ts'
import { sendForJson } from '#site/request.ts'
import { ask, type Device, HOUR_MS, makeHome, pair, startSite, withAuthority } from './site.ts'

const deviceOf = (device: Device) =>
  sendForJson(DeviceShape, { origin: device.identity.authority, agent: device.agent, method: 'GET', path: AUTHORITY_PATHS.device })
const ticketFor = (device: Device, archive: string) =>
  sendForJson(Ticket, {
    origin: device.identity.authority,
    agent: device.agent,
    method: 'POST',
    path: AUTHORITY_PATHS.tickets,
    body: { archive, verbs: ['backup'] },
  })
const code = (expected: string) => ({ code: expected })

test('a link pairs one device, once', async t => {
  const site = await startSite()
  const link = await site.link()
  const device = await pair(link)
  t.is((await deviceOf(device)).user, 'ann')
  t.is((await ticketFor(device, device.identity.archive)).expires_in_ms, 5 * 60_000)
  await t.throwsAsync(pair(link), code('LINK_INVALID'))
  await site.close()
})

test('of several that use a link at the same moment, exactly one is paired', async t => {
  const site = await startSite()
  const link = await site.link()
  const all = await Promise.allSettled([pair(link), pair(link), pair(link)])
  t.is(all.filter(one => one.status === 'fulfilled').length, 1)
  await site.authority.close()
  const { devices } = await withAuthority(site.home, open => ask(open, 'GET', '/devices'))
  t.is((devices as unknown[]).length, 1)
  await site.close().catch(() => {})
  rmSync(site.home, { recursive: true, force: true })
})

test('an expired link and one that was never made do not pair', async t => {
  const site = await startSite()
  const link = await site.link()
  site.clock.offset_ms = LINK_MS + 1000
  await t.throwsAsync(pair(link), code('LINK_EXPIRED'))
  await t.throwsAsync(pair(link.replace(/code=.{6}/, 'code=AAAAAA')), code('LINK_INVALID'))
  await site.close()
})

test('a link whose CA hash is another is refused before anything is sent', async t => {
  const site = await startSite()
  const link = parsePairingLink(await site.link())
  await t.throwsAsync(fetchCa({ ...link, ca_sha256: 'A'.repeat(43) }), code('CA_MISMATCH'))
  await site.close()
})

test('a wrong password is refused and slows the next try down, and the link still works', async t => {
  const site = await startSite()
  const link = await site.link()
  await t.throwsAsync(pair(link, 'wrong password'), code('PASSWORD_WRONG'))
  await t.throwsAsync(pair(link, 'wrong password'), code('PASSWORD_WRONG'))
  const begun_ms = performance.now()
  await pair(link)
  t.true(performance.now() - begun_ms > 400)
  await site.close()
})

test('too many wrong passwords use a link up', async t => {
  const home = await makeHome()
  // The pauses between tries are by the authority's clock: it runs fast here.
  let fast_ms = Date.now()
  const now = (): number => (fast_ms += 60_000)
  const { link } = await withAuthority(
    home,
    open => ask(open, 'POST', '/links', { user: 'ann' }),
    () => Date.now(),
  )
  const authority = await startAuthority(home, { version: '0', now })
  for (let tries = 0; tries < LINK_PASSWORD_TRIES_MAX; tries++) await t.throwsAsync(pair(String(link), 'wrong password'), code('PASSWORD_WRONG'))
  await t.throwsAsync(pair(String(link)), code('TOO_MANY_TRIES'))
  await authority.close()
  rmSync(home, { recursive: true, force: true })
})

test('without a certificate, with one of another CA, and with one of no device, nothing is told', async t => {
  const site = await startSite()
  const device = await pair(await site.link())
  const { ca } = device.identity
  const other = await makeCa('other', Date.now())
  const stranger = createDeviceKey()
  const own = readHome(site.home)
  const agents = [
    new Agent({ ca, minVersion: 'TLSv1.3' }),
    new Agent({ ca, minVersion: 'TLSv1.3', key: stranger.privateKey, cert: await signDevice(other, device.identity.device, stranger.request, Date.now()) }),
    // Signed by the site, for the name of a device, but not the certificate that this device was given.
    new Agent({ ca, minVersion: 'TLSv1.3', key: stranger.privateKey, cert: await signDevice(own.ca, device.identity.device, stranger.request, Date.now()) }),
  ]
  for (const agent of agents) await t.throwsAsync(deviceOf({ ...device, agent }), code('CERTIFICATE_REQUIRED'))
  await site.close()
})

test('a ticket for the archive of another device is refused', async t => {
  const site = await startSite()
  const one = await pair(await site.link())
  const two = await pair(await site.link())
  await t.throwsAsync(ticketFor(one, two.identity.archive), code('ARCHIVE_FORBIDDEN'))
  await site.close()
})

test('a deauthorized device and a disabled user get nothing, at once', async t => {
  const site = await startSite()
  const one = await pair(await site.link())
  const two = await pair(await site.link())
  await sendForJson(DeviceShape, { origin: one.identity.authority, agent: one.agent, method: 'GET', path: AUTHORITY_PATHS.device })
  await site.authority.close()
  await withAuthority(site.home, open => ask(open, 'POST', '/devices/deauthorize', { device: one.identity.device }))
  const again = await startAuthority(site.home, { version: '0' })
  await t.throwsAsync(deviceOf(one), code('DEVICE_DEAUTHORIZED'))
  t.is((await deviceOf(two)).device, two.identity.device)
  await again.close()
  await withAuthority(site.home, open => ask(open, 'POST', '/users/disable', { user: 'ann' }))
  const last = await startAuthority(site.home, { version: '0' })
  await t.throwsAsync(ticketFor(two, two.identity.archive), code('USER_DISABLED'))
  await last.close()
  rmSync(site.home, { recursive: true, force: true })
})

test('the head of an archive never goes back', async t => {
  const site = await startSite()
  const device = await pair(await site.link())
  const put = (sequence: number) =>
    sendForJson(DeviceShape, {
      origin: device.identity.authority,
      agent: device.agent,
      method: 'PUT',
      path: AUTHORITY_PATHS.head,
      body: { snapshot: 'a'.repeat(64), sequence },
    }).catch(() => {})
  await put(7)
  await put(3)
  t.is((await deviceOf(device)).head?.sequence, 7)
  await site.close()
})

test('a clock that is an hour off changes nothing, one ten years off refuses by name', async t => {
  const site = await startSite()
  const device = await pair(await site.link())
  site.clock.offset_ms = HOUR_MS
  t.is((await ticketFor(device, device.identity.archive)).expires_in_ms, 5 * 60_000)
  site.clock.offset_ms = -HOUR_MS
  t.is((await ticketFor(device, device.identity.archive)).expires_in_ms, 5 * 60_000)
  await site.close()
})

test('a home is set up once, runs once, and its files are for their owner only', async t => {
  const site = await startSite()
  await t.throwsAsync(
    withAuthority(site.home, async () => {}),
    code('SITE_BUSY'),
  )
  await t.throwsAsync(startAuthority('/nonexistent', { version: '0' }), code('SITE_MISSING'))
  for (const name of ['config.json', 'authority/ca.key', 'authority/ticket.key', 'storage/storage.key', 'authority/audit.log', 'authority/admin.sock'])
    t.is(statSync(join(site.home, name)).mode & 0o777, 0o600, name)
  await site.close()
})

test('names and passwords that are not allowed are refused by name', async t => {
  const home = await makeHome()
  await withAuthority(home, async open => {
    for (const user of ['Ann', 'a b', '../x', '-a', 'a'.repeat(65)])
      await t.throwsAsync(ask(open, 'POST', '/users', { user, password: 'long enough', tenant: 'default' }), code('NAME_INVALID'))
    await t.throwsAsync(ask(open, 'POST', '/users', { user: 'bob', password: 'short', tenant: 'default' }), code('PASSWORD_WEAK'))
    await t.throwsAsync(ask(open, 'POST', '/users', { user: 'ann', password: 'long enough', tenant: 'default' }), code('USER_EXISTS'))
    await t.throwsAsync(ask(open, 'POST', '/users', { user: 'bob', password: 'long enough', tenant: 'none' }), code('TENANT_UNKNOWN'))
    await t.throwsAsync(ask(open, 'POST', '/links', { user: 'nobody' }), code('USER_UNKNOWN'))
    await t.throwsAsync(ask(open, 'POST', '/users', { user: 7 }), code('REQUEST_INVALID'))
  })
  rmSync(home, { recursive: true, force: true })
})

test('a request that has begun when the authority is told to stop is answered, not turned away', async t => {
  const site = await startSite()
  const device = await pair(await site.link())
  const { hostname, port } = new URL(device.identity.authority)
  const socket = connect({ host: hostname, port: Number(port), ca: device.identity.ca, cert: device.identity.certificate, key: device.key, servername: '' })
  await once(socket, 'secureConnect')
  socket.write(`GET ${AUTHORITY_PATHS.health} HTTP/1.1\r\nHost: `)
  // The server has seen the beginning once it has answered somebody else.
  await deviceOf(device)
  const closed = site.close()
  await pause(200)
  socket.write(`${hostname}\r\n\r\n`)
  t.regex(String(await once(socket, 'data')), /^HTTP\/1\.1 200 /)
  socket.destroy()
  await closed
})
