// Set-up by its API: the real set-up server and the real finishing step.
import { createReadStream, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { openAuthority } from '#authority/authority.ts'
import { readHome } from '#authority/home.ts'
import type { Connection } from '#keystore-client/connection.ts'
import { decrypt, makeIdentity } from '#keystore-operate/age.ts'
import { makeConnection } from './keystore-file.ts'
import { AUTHORITY_USER, ask, askJson, isRoot, makeMachine, RECOVERY_KEY, SETTINGS, type Server, STORAGE_USER } from './machine.ts'

const END = RECOVERY_KEY.split('-').at(-1)
const started = async (machine: { start(): Promise<Server | undefined> }): Promise<Server> => {
  const server = await machine.start()
  if (!server) throw new Error('the set-up server ended')
  return server
}

async function opened(file: string, identity: string): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of decrypt(createReadStream(file), [identity])) parts.push(part)
  return Buffer.concat(parts).toString()
}

let CONNECTION: Connection
test.before(async () => {
  CONNECTION = await makeConnection()
})

test('the code, the settings and the end of the recovery key make a site, and then the server and the code are gone', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await started(machine)
  const shown = machine.shown()
  const operator = makeIdentity()
  const connection = {
    ...CONNECTION,
    addresses: ['https://192.0.2.7:8200', 'https://[2001:db8::7]:8200', 'https://keystore.example.net:8300'],
    recovery_recipients: [makeIdentity().recipient, operator.recipient],
  }
  const begun = await askJson(server, '/api/begin', { code: shown.code, settings: { ...SETTINGS, keystore: connection } })
  t.is(begun.status, 200, begun.text)
  t.is(begun.fingerprint, shown.fingerprint, 'the screen shows the fingerprint of the certificate')
  t.is(begun.value['recovery_key'], RECOVERY_KEY)
  t.false(machine.isSite(), 'nothing counts before it is finished')

  const finished = await askJson(server, '/api/finish', { session: begun.value['session'], recovery_key_end: END })
  t.is(finished.status, 200, finished.text)
  t.is(finished.value['address'], 'backup.example.net')
  t.is(await server.ended, 0)
  t.is(await machine.start(), undefined, 'it does not start again')

  const { home, keystoreRules } = machine.places
  t.is(readHome(home).config.address, 'backup.example.net')
  t.is(
    readFileSync(keystoreRules, 'utf8'),
    'add element inet holdfast keystore_v4 { 192.0.2.7 . 8200 }\nadd element inet holdfast keystore_v6 { 2001:db8::7 . 8200 }\nadd element inet holdfast keystore_ports { 8300 }\n',
  )
  t.deepEqual(
    ownersUnder(home).filter(
      ({ path, uid }) => uid !== (path.startsWith('authority') ? AUTHORITY_USER : path.startsWith('storage') ? STORAGE_USER : process.getuid?.()),
    ),
    [],
    'each file belongs to the user of its process',
  )
  t.is(statSync(join(home, 'config.json')).mode & 0o777, 0o640)
  if (isRoot) t.is(statSync(join(home, 'config.json')).gid, AUTHORITY_USER)
  for (const { path, mode } of ownersUnder(home)) if (/^(authority|storage)\b/.test(path)) t.is(mode & 0o077, 0, path)
  t.deepEqual(readdirSync(join(machine.root, 'run/holdfast')), [], 'the recovery key is gone')
  t.is(await opened(join(home, 'recovery-key.age'), operator.identity), `${RECOVERY_KEY}\n`, 'an operator of the keystore can open what is in escrow')
  t.false(everythingUnder(machine.root).includes(RECOVERY_KEY), 'and nobody else')
  t.deepEqual(readdirSync(join(machine.root, 'var/lib/holdfast-setup')), [], 'so is the draft')
  t.false(everythingUnder(machine.root).includes(SETTINGS.administrator.password), 'the password is nowhere')
  const authority = await openAuthority(home, { version: 'test' })
  t.teardown(authority.close)
  const { administrators } = JSON.parse((await authority.admin.inject('/administrators')).payload) as {
    administrators: { name: string; tenant: string | null }[]
  }
  t.deepEqual(
    administrators.map(({ name, tenant }) => ({ name, tenant })),
    [{ name: 'ada', tenant: null }],
  )
})

test('the code works once: the screen shows another, with which set-up is begun anew, and the older session ends', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await started(machine)
  const { code } = machine.shown()
  const first = await askJson(server, '/api/begin', { code, settings: SETTINGS })
  t.is(first.status, 200)
  t.not(machine.shown().code, code)
  t.is((await askJson(server, '/api/begin', { code, settings: SETTINGS })).value['code'], 'CODE_WRONG')
  const typed = machine.shown().code.toLowerCase().replace('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')
  const second = await askJson(server, '/api/begin', { code: typed, settings: SETTINGS }, '127.0.0.2')
  t.is(second.status, 200, 'small letters, spaces and look-alikes do not matter')
  t.is((await askJson(server, '/api/finish', { session: first.value['session'], recovery_key_end: END })).value['code'], 'SETUP_ENDED')
  t.is((await askJson(server, '/api/finish', { session: second.value['session'], recovery_key_end: 'dddddddc' })).value['code'], 'RECOVERY_KEY_OTHER')
  t.false(machine.isSite())
  t.is((await askJson(server, '/api/finish', { session: second.value['session'], recovery_key_end: END })).status, 200)
  t.true(machine.isSite())
})

test('wrong codes are answered ever later, each peer in its own turn, and after twenty there is another code', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await started(machine)
  const { code } = machine.shown()
  const wrong = { code: 'AAAAA-AAAAA', settings: SETTINGS }
  const peers = [1, 2, 3, 4, 5].map(number => `127.0.0.${number}`)
  const times_ms = await Promise.all(
    peers.map(async from => {
      const begun_ms = performance.now()
      for (const answer of await Promise.all([1, 2, 3, 4].map(() => askJson(server, '/api/begin', wrong, from)))) t.is(answer.value['code'], 'CODE_WRONG')
      return performance.now() - begun_ms
    }),
  )
  for (const time_ms of times_ms) t.true(time_ms > 3_400, `${time_ms}`)
  t.is(machine.shown().wrong, 20)
  t.not(machine.shown().code, code)
  t.is((await askJson(server, '/api/begin', { code, settings: SETTINGS }, '127.0.0.9')).value['code'], 'CODE_WRONG', 'the old one is no use')
  await askJson(server, '/api/begin', wrong, '127.0.0.8')
  const many = await Promise.all([1, 2, 3, 4, 5].map(() => askJson(server, '/api/begin', wrong, '127.0.0.8')))
  t.is(many.filter(answer => answer.value['code'] === 'CODE_TRIES').length, 1, 'four of one peer may wait')
  t.is((await askJson(server, '/api/begin', { code: machine.shown().code, settings: SETTINGS }, '127.0.0.10')).status, 200, 'others are not held up')
})

const network = (change: object): unknown => ({ ...(SETTINGS.network as object), ...change })
const invalidSettings = (): readonly [title: string, settings: object, code: string, field: string][] => [
  ['no address', { address: '' }, 'SETTING_INVALID', ''],
  ['an address with a line break', { address: 'a\nb' }, 'SETTING_INVALID', 'address'],
  ['an address in capitals', { address: 'Backup' }, 'SETTING_INVALID', 'address'],
  ['an administrator of a name that is not one', { administrator: { name: '../x', password: 'a long enough one' } }, 'SETTING_INVALID', 'administrator.name'],
  ['a short password', { administrator: { name: 'ada', password: 'short' } }, 'SETTING_INVALID', 'administrator.password'],
  ['a keystore that is none', { keystore: { addresses: [] } }, 'SETTING_INVALID', 'keystore'],
  ['a keystore without TLS', { keystore: { ...CONNECTION, addresses: ['http://192.0.2.7:8200'] } }, 'SETTING_INVALID', 'keystore'],
  ['a keystore whose signing key is none', { keystore: { ...CONNECTION, jwt_key: 'x' } }, 'SETTING_INVALID', 'keystore'],
  ['a keystore whose certificate is none', { keystore: { ...CONNECTION, certificate: 'x' } }, 'SETTING_INVALID', 'keystore'],
  ['a network of another version', { network: network({ version: 2 }) }, 'NETWORK_INVALID', 'network'],
  ['an interface with a line break', { network: network({ interface: 'a\n[x]' }) }, 'NETWORK_INVALID', 'network'],
  [
    'a gateway elsewhere',
    { network: network({ ipv4: { method: 'static', address: '192.0.2.10/24', gateway: '198.51.100.1' } }) },
    'NETWORK_INVALID',
    'network.ipv4.gateway',
  ],
  ['a zone that is nowhere', { time: { version: 1, servers: [], zone: 'Mars/Olympus' } }, 'TIME_INVALID', 'time.zone'],
  ['a time server with a space', { time: { version: 1, servers: ['a b'], zone: 'UTC' } }, 'TIME_INVALID', 'time.servers'],
  ['what nobody asked for', { root_password: 'x' }, 'SETTING_INVALID', ''],
]

test('settings that are not valid are refused by name, without using the code up', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await started(machine)
  const { code } = machine.shown()
  for (const [title, change, expected, field] of invalidSettings()) {
    const { status, value } = await askJson(server, '/api/begin', { code, settings: { ...SETTINGS, ...change } })
    t.deepEqual([status, value['code'], (value['facts'] as { field?: string } | undefined)?.field], [400, expected, field], title)
  }
  t.is(machine.shown().code, code)
  t.is(machine.shown().wrong, 0)
})

test('what is too large, no form, no JSON or of another shape is refused, and the server goes on', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await started(machine)
  const json = { 'content-type': 'application/json' }
  const form = { 'content-type': 'multipart/form-data; boundary=x' }
  const large = Buffer.alloc(2 * 1024 * 1024, 0x20)
  t.is((await ask(server, 'POST', '/api/begin', { headers: json, body: large })).status, 413)
  t.is((await ask(server, 'POST', '/', { headers: form, body: large })).status, 413)
  for (const body of ['{', '[]', '"x"', '{"code":1,"settings":{}}', '{"code":"x","settings":{},"more":1}', '['.repeat(100_000)])
    t.is((await ask(server, 'POST', '/api/begin', { headers: json, body })).status, 400, body.slice(0, 40))
  for (const body of ['', '--x', '--x\r\ncontent-disposition: form-data; name="code"\r\n\r\n', '\0'.repeat(1000)])
    t.is((await ask(server, 'POST', '/', { headers: form, body })).status, 400, JSON.stringify(body.slice(0, 40)))
  t.is((await ask(server, 'POST', '/', {})).status, 400)
  t.is((await ask(server, 'POST', '/', { headers: { 'content-type': 'text/xml' }, body: '<a/>' })).status, 415)
  t.is((await ask(server, 'GET', '/../etc/passwd')).status, 404)
  t.is((await ask(server, 'GET', '/')).status, 200)
})

test('without a recovery key there is no set-up', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await started(machine)
  writeFileSync(machine.places.recoveryKey, '')
  const { code } = machine.shown()
  t.is((await askJson(server, '/api/begin', { code, settings: SETTINGS })).value['code'], 'RECOVERY_KEY_MISSING')
  t.is(machine.shown().code, code, 'and the code is not used up')
})

function ownersUnder(folder: string): { path: string; uid: number; mode: number }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(path => {
    const { uid, mode } = statSync(join(folder, path))
    return { path, uid, mode }
  })
}

/** All that lies in files of this machine's root, but for those of the machine that runs the test. */
function everythingUnder(root: string): string {
  return readdirSync(join(root, 'var'), { recursive: true, encoding: 'utf8' })
    .map(path => join(root, 'var', path))
    .filter(path => statSync(path).isFile())
    .map(path => readFileSync(path, 'latin1'))
    .join('\n')
}
