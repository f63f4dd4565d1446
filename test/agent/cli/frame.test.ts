// The frame around every command, seen from outside.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import package_ from '../../../package.json' with { type: 'json' }
import { holdfast } from './holdfast.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const CODE = 'A'.repeat(43)

test('--version prints the version and nothing else', async t => {
  t.like(await holdfast(['--version']), { code: 0, out: `${package_.version}\n`, err: '' })
})

const misused: [title: string, parameters: string[], pattern: RegExp][] = [
  ['an unknown command', ['bakup', '--home', folder], /^USAGE_WRONG: .*unknown command 'bakup'.*\n$/],
  ['an unknown option', ['backup', '--fast', '--home', folder], /^USAGE_WRONG: .*unknown option '--fast'.*\n$/],
  ['a missing argument', ['pair', '--home', folder], /^USAGE_WRONG: .*missing required argument 'link'.*\n$/],
  ['a missing option', ['key', 'export', '--home', folder], /^USAGE_WRONG: .*--to <file>.*\n$/],
  ['no home', ['status'], /^HOME_MISSING: .*--home DIR.*\n$/],
]
for (const [title, parameters, pattern] of misused) {
  test(`${title} is wrong usage: one line, and exit code 2`, async t => {
    const ended = await holdfast(parameters)
    t.is(ended.code, 2)
    t.is(ended.out, '')
    t.regex(ended.err, pattern)
  })
}

test('the home comes from HOLDFAST_HOME unless --home names another', async t => {
  const status = await holdfast(['status', '--json'], { environment: { HOLDFAST_HOME: join(folder, 'one') } })
  t.deepEqual([status.code, JSON.parse(status.out)], [1, { paired: false }])
  const newer = join(folder, 'newer')
  mkdirSync(newer)
  writeFileSync(join(newer, 'agent.json'), '{"version":2}')
  t.regex((await holdfast(['status', '--home', newer], { environment: { HOLDFAST_HOME: join(folder, 'one') } })).err, /^HOME_NEWER: /)
})

test('a damaged agent.json is named, and is exit code 6', async t => {
  const home = join(folder, 'damaged')
  mkdirSync(home)
  writeFileSync(join(home, 'agent.json'), '{"version":1,"backup_set":{"paths":')
  const ended = await holdfast(['status', '--home', home])
  t.is(ended.code, 6)
  t.regex(ended.err, /^HOME_DAMAGED: .*agent\.json.*\n$/)
})

for (const command of [
  ['backup', '/'],
  ['snapshots'],
  ['ls', 'latest'],
  ['restore', '--to', join(folder, 'nowhere')],
  ['verify'],
  ['key', 'export', '--to', join(folder, 'key')],
  ['unpair'],
]) {
  test(`${command[0]} in a home that is not paired says so`, async t => {
    const ended = await holdfast([...command, '--home', join(folder, `unpaired-${command[0]}`)])
    t.is(ended.code, 1)
    t.regex(ended.err, /^NOT_PAIRED: [^\n]*holdfast pair LINK[^\n]*\n$/)
  })
}

test('a text that is no link is refused before anything is sent or written', async t => {
  for (const link of ['https://example.com/', 'holdfast://host/pair', `holdfast://host:1/pair?code=${CODE}`, 'holdfast']) {
    const ended = await holdfast(['pair', link, '--home', join(folder, 'no-link'), '--password-file', '-'], { input: 'password\n' })
    t.is(ended.code, 4)
    t.regex(ended.err, /^LINK_INVALID: [^\n]*\n$/)
  }
})

test('nobody at the address of a link is UNREACHABLE, exit code 5', async t => {
  const port = await unusedPort()
  const ended = await holdfast(
    ['pair', `holdfast://127.0.0.1:${port}/pair?code=${CODE}&ca=${CODE}`, '--home', join(folder, 'nobody'), '--password-file', '-'],
    { input: 'password\n' },
  )
  t.is(ended.code, 5)
  t.regex(ended.err, /^UNREACHABLE: [^\n]*ECONNREFUSED[^\n]*\n$/)
})

test('Ctrl-C ends a command that waits for the appliance with 130', async t => {
  // Somebody who takes the connection and never says anything.
  const connected = Promise.withResolvers<void>()
  const server = createServer(() => connected.resolve())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const ended = await holdfast(
    ['pair', `holdfast://127.0.0.1:${port}/pair?code=${CODE}&ca=${CODE}`, '--home', join(folder, 'silent'), '--password-file', '-'],
    {
      input: 'password\n',
      onStart: child => void connected.promise.then(() => child.kill('SIGINT')),
    },
  )
  server.close()
  t.is(ended.code, 130)
  t.regex(ended.err, /^INTERRUPTED: [^\n]*\n$/)
})

function unusedPort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
