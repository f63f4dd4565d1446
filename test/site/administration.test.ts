// An appliance is administered from another machine, by administrators of the site and by nobody else.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { freePort, PASSWORD, startSite } from './site.ts'

const site = await startSite()

const SITE_PASSWORD = 'of the administrator of the site'
const TENANT_PASSWORD = 'of an administrator of a tenant'
const passwordFile = (name: string, password: string): string => {
  const file = join(site.folder, name)
  writeFileSync(file, `${password}\n`, { mode: 0o600 })
  return file
}
const ofSite = passwordFile('site-password', SITE_PASSWORD)
const ofTenant = passwordFile('tenant-password', TENANT_PASSWORD)
await site.appliance('administrator', 'add', 'rack', '--site', '--password-file', ofSite)
await site.appliance('administrator', 'add', 'helpdesk', '--password-file', ofTenant)

const address = site.authority.replace('https://', '')
const ca_sha256 = /ca=([\w-]{43})/.exec(await site.link())?.[1] ?? ''
test.after.always(() => site.close())

/** A command on another machine. */
const remote = (home: string, password: string, ...parameters: string[]): Promise<Ended> =>
  holdfast([...parameters, '--home', join(site.folder, home), '--admin-password-file', password], { launcher: 'holdfast-appliance' })
const connect = (home: string, password: string, as: string, hash = ca_sha256, at = address): Promise<Ended> =>
  remote(home, password, 'connect', at, '--ca-sha256', hash, '--as', as)

test('an administrator of the site adds a user and makes a link from another machine, with which a device pairs', async t => {
  t.is((await connect('elsewhere', ofSite, 'rack')).code, 0)
  const userPassword = passwordFile('user-password', PASSWORD)
  const added = await remote('elsewhere', ofSite, 'user', 'add', 'bob', '--password-file', userPassword)
  t.is(added.code, 0, added.err)
  const link = (await remote('elsewhere', ofSite, 'link', 'bob')).out.split('\n').find(line => line.startsWith('holdfast://')) ?? ''
  const paired = await holdfast(['pair', link, '--home', join(site.folder, 'bobs'), '--password-file', userPassword])
  t.is(paired.code, 0, paired.err)
  const { devices } = JSON.parse((await remote('elsewhere', ofSite, 'device', 'list', '--json')).out) as { devices: { user: string }[] }
  t.true(devices.some(({ user }) => user === 'bob'))
  const audit = readFileSync(join(site.home, 'authority', 'audit.log'), 'utf8').split('\n')
  const asked = audit.findIndex(line => line.includes('"act":"administration"') && line.includes('"who":"rack"') && line.includes('/users'))
  t.true(asked >= 0 && audit.slice(asked).some(line => line.includes('"user.add"') && line.includes('bob')))
  t.false(readFileSync(join(site.folder, 'elsewhere', 'remote.json'), 'utf8').includes(SITE_PASSWORD))
  t.false(audit.join().includes(SITE_PASSWORD))
})

test('what an act of the machine needs may come from a file, and one that holds something else is wrong usage', async t => {
  t.is((await connect('rack-room', ofSite, 'rack')).code, 0)
  const file = join(site.folder, 'values.json')
  writeFileSync(file, JSON.stringify({ recovery_key: 'planted' }))
  // This appliance is no firmware, so nobody takes it.
  t.regex((await remote('rack-room', ofSite, 'machine', 'do', 'state.bind', `@${file}`)).err, /^NOT_FIRMWARE: /m)
  t.regex((await remote('rack-room', ofSite, 'machine', 'update', file)).err, /^NOT_FIRMWARE: /m)
  const releases = join(site.folder, 'releases')
  mkdirSync(releases)
  writeFileSync(join(releases, 'holdfast_1.update.part'), 'not yet one')
  t.regex((await remote('rack-room', ofSite, 'machine', 'update', releases)).err, /^FILE_UNUSABLE: .*releases: no release/m)
  writeFileSync(join(releases, 'holdfast_12.update'), 'a release')
  t.regex((await remote('rack-room', ofSite, 'machine', 'update', releases)).err, /^NOT_FIRMWARE: /m)
  const here = await holdfast(['machine', 'do', 'disks.list', '--home', site.home], { launcher: 'holdfast-appliance' })
  t.regex(here.err, /^NOT_FIRMWARE: /m)
  for (const text of ['[]', 'no JSON', '"text"']) {
    writeFileSync(file, text)
    for (const parameters of [
      ['do', 'state.bind', `@${file}`],
      ['do', 'state.bind', text],
      ['keystore', file],
    ])
      t.is((await remote('rack-room', ofSite, 'machine', ...parameters)).code, 2, parameters.join(' '))
  }
  t.is((await remote('rack-room', ofSite, 'machine', 'keystore', join(site.folder, 'nothing'))).code, 2)
})

test('administrators of a tenant, strangers and wrong passwords administer nothing', async t => {
  for (const [as, password] of [
    ['helpdesk', ofTenant],
    ['nobody', ofSite],
    ['rack', ofTenant],
  ] as const) {
    const ended = await connect(`refused-${as}`, password, as)
    t.is(ended.code, 4)
    t.regex(ended.err, /^PASSWORD_WRONG: [^\n]*\n$/)
    t.false(existsSync(join(site.folder, `refused-${as}`, 'remote.json')))
  }
  for (const path of ['/users', '/devices', '/status', '/audit', '/administrators']) {
    const answer = await fetch(`${site.authority}/v1/administration${path}`).catch((error: unknown) => error)
    // Without the CA nobody gets as far as being asked who they are.
    t.true(answer instanceof Error)
  }
  const taken = await remote('elsewhere-2', ofSite, 'user', 'list')
  t.not(taken.code, 0)
})

test('no request without a sign-in is answered, whatever it carries instead', async t => {
  const { Agent, request } = await import('node:https')
  const agent = new Agent({ rejectUnauthorized: false })
  const status = (path: string, authorization?: string): Promise<number> =>
    new Promise((resolve, reject) => {
      request(`${site.authority}/v1/administration${path}`, { agent, ...(authorization === undefined ? {} : { headers: { authorization } }) }, answer => {
        answer.resume()
        resolve(answer.statusCode ?? 0)
      })
        .on('error', reject)
        .end()
    })
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
  for (const authorization of [undefined, '', 'Basic', 'Basic !!', basic('rack'), basic(':x'), 'Bearer x']) t.is(await status('/users', authorization), 401)
  t.is(await status('/users', basic(`rack:${SITE_PASSWORD}x`)), 403)
  t.is(await status('/restores', basic(`rack:${SITE_PASSWORD}`)), 404)
  t.is(await status('/users', basic(`rack:${SITE_PASSWORD}`)), 200)
})

test('an administrator of the site can not ask for a restore', async t => {
  await connect('no-restores', ofSite, 'rack')
  const ended = await remote('no-restores', ofSite, 'restore', 'ask', 'ann', '--as', 'rack', '--reason', 'curious', '--password-file', ofSite)
  t.is(ended.code, 4)
  t.regex(ended.err, /^PASSWORD_WRONG: /)
})

test('whoever answers with another CA is sent no password', async t => {
  const ended = await connect('another-ca', ofSite, 'rack', 'B'.repeat(43))
  t.is(ended.code, 4)
  t.regex(ended.err, /^APPLIANCE_UNTRUSTED: [^\n]*\n$/)
})

test('an appliance that is not there is said to be so, and a site is not made a way to another', async t => {
  const ended = await connect('nowhere', ofSite, 'rack', ca_sha256, `127.0.0.1:${await freePort()}`)
  t.is(ended.code, 5)
  t.regex(ended.err, /^APPLIANCE_UNREACHABLE: /)
  const own = await holdfast(['connect', address, '--ca-sha256', ca_sha256, '--as', 'rack', '--home', site.home], { launcher: 'holdfast-appliance' })
  t.regex(own.err, /^SITE_EXISTS: /)
})
