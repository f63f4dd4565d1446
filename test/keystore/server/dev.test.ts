// holdfast-keystore dev, run as a user would: what it says, what it leaves, and that it begins again where it was.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { readConnection } from '#keystore-client/connection.ts'
import { createKeystore } from '#keystore-client/keystore.ts'
import { type Asker, createAsker } from '#keystore-server/ask.ts'
import { makeRootToken } from '#keystore-server/root-token.ts'
import { Type } from '#protocol/typebox.js'
import { holdfast, SCRIPTS } from '../../agent/cli/holdfast.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-keystore-dev-'))
const running = new Set<ChildProcess>()
test.after.always(() => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

type Running = { readonly child: ChildProcess; readonly line: string; said(): string; ended(): Promise<number | null> }
const SLOT = `s-${'0123456789abcdef'.repeat(2)}`

function dev(home: string): Promise<Running> {
  const child = spawn(join(SCRIPTS, 'holdfast-keystore'), ['dev', '--json', '--home', home], { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let said = ''
  child.stderr.on('data', (part: Buffer) => {
    said += part.toString()
  })
  const ended = new Promise<number | null>(resolve => child.once('close', resolve)).finally(() => running.delete(child))
  return new Promise((resolve, reject) => {
    createInterface(child.stdout).once('line', line => resolve({ child, line, said: () => said, ended: () => ended }))
    void ended.then(code => reject(new Error(`it ended with ${code}: ${said}`)))
  })
}

/** Asks the server of a home as its appliance would. */
function askerOf(home: string): Asker {
  const { addresses, ca, certificate, key } = readConnection(join(home, 'keystore.json'))
  return createAsker(addresses[0] ?? '', { ca, certificate, key })
}

function stop({ child, ended }: Running): Promise<number | null> {
  child.kill('SIGTERM')
  return ended()
}

test('dev writes a connection file that works, says what it is, and begins again with the same keys at the same address', async t => {
  const home = join(folder, 'again')
  const file = join(home, 'keystore.json')
  const first = await dev(home)
  const before = readConnection(file)
  t.deepEqual(JSON.parse(first.line), { ready: true, address: before.addresses[0], connection: file })
  t.true(first.said().includes(`ready ${before.addresses[0]}\n`))
  t.regex(first.said(), /for development only/)
  const keystore = createKeystore(before)
  const made = await keystore.makeSlot('default', SLOT)
  keystore.close()
  t.is(await stop(first), 0)

  const second = await dev(home)
  t.is(statSync(file).mode & 0o777, 0o600)
  const after = readConnection(file)
  t.deepEqual(after, before)
  const again = createKeystore(after)
  t.is((await again.makeSlot('default', SLOT)).public_key, made.public_key)
  again.close()
  t.is(await stop(second), 0)
})

test('dev that was killed with -9 comes back at once, with the keys that it had', async t => {
  const home = join(folder, 'killed')
  const first = await dev(home)
  const { identity } = readConnection(join(home, 'keystore.json')).tenants['default'] ?? { identity: '' }
  first.child.kill('SIGKILL')
  await first.ended()
  const second = await dev(home)
  t.is(readConnection(join(home, 'keystore.json')).tenants['default']?.identity, identity)
  t.is(await stop(second), 0)
})

test('a home that is in use is refused, and what runs there goes on', async t => {
  const home = join(folder, 'busy')
  const first = await dev(home)
  const second = await holdfast(['dev', '--home', home], { launcher: 'holdfast-keystore' })
  t.is(second.code, 1)
  t.regex(second.err, /^KEYSTORE_HOME_BUSY/)
  t.is((await askerOf(home).ask({ method: 'GET', path: 'sys/health' })).status, 200)
  t.is(await stop(first), 0)
})

const Accessors = Type.Object({ data: Type.Object({ keys: Type.Array(Type.String()) }) })

test('once it is ready no root token is left, and without its shares its home is refused', async t => {
  const home = join(folder, 'root')
  const first = await dev(home)
  const file = join(home, 'development.json')
  const { shares, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as { shares: string[] }
  t.is(statSync(file).mode & 0o777, 0o600)
  const token = await makeRootToken(askerOf(home), shares)
  const { data } = await askerOf(home).askFor(Accessors, { method: 'GET', path: 'auth/token/accessors?list=true', token })
  t.is(data.keys.length, 1, 'only the one that was made to look')
  t.is(await stop(first), 0)

  writeFileSync(file, JSON.stringify(rest))
  const second = await holdfast(['dev', '--home', home], { launcher: 'holdfast-keystore' })
  t.is(second.code, 6)
  t.regex(second.err, /^KEYSTORE_HOME_DAMAGED/)
})
