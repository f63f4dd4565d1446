// The status screen: the real program, with files in the place of its terminals.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { COLUMNS, pictureOf, ROWS } from '#image-setup/picture.ts'
import { placesUnder } from '#image-setup/places.ts'
import { until } from './machine.ts'

function screenOf(t: ExecutionContext) {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-screen-'))
  const places = placesUnder(root)
  const [console_, serial] = [join(root, 'console'), join(root, 'serial')]
  const put = (file: string, value: object): void => {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, JSON.stringify(value))
  }
  for (const file of [console_, serial]) writeFileSync(file, '')
  let child: ChildProcess | undefined
  t.teardown(async () => {
    child?.kill('SIGKILL')
    await new Promise(resolve => (child ? child.once('close', resolve) : resolve(undefined)))
    rmSync(root, { recursive: true })
  })
  return {
    places,
    put,
    start() {
      const program = join(import.meta.dirname, '../../image/setup/screen.ts')
      child = spawn(process.execPath, [program, '--root', root, '--console', console_, '--serial', serial], { stdio: 'inherit' })
    },
    said: () => readFileSync(serial, 'utf8'),
    /** What a person sees. */
    seen: () => stripVTControlCharacters(readFileSync(console_, 'latin1').split('\x1b[H').at(-1) ?? ''),
  }
}

test('before set-up the screen shows where, the code and the fingerprint; each change is one line on the serial line', async t => {
  const { places, put, start, said, seen } = screenOf(t)
  put(places.release, { version: 7, built_from: 'x' })
  start()
  await until(() => said().includes('State: starting\r\n'))
  t.regex(said(), /Holdfast \d+\.\d+\.\d+, image 7\r\n/)
  const fingerprint = Array.from({ length: 32 }, () => 'AB').join(':')
  put(places.shown, { code: 'ABCDE-12345', wrong: 0, fingerprint })
  await until(() => said().includes('Code: ABCDE-12345\r\n'))
  t.true(said().includes('State: to be set up\r\n'))
  t.true(said().includes(`Fingerprint: ${fingerprint}\r\n`), 'on one line')
  t.true(seen().includes('ABCDE-12345'))
  put(places.shown, { code: 'FGHJK-67890', wrong: 20, fingerprint })
  await until(() => said().includes('Attention: 20 wrong set-up codes were tried\r\n'))
  t.is(said().split('Fingerprint:').length, 2, 'what has not changed is not said again')
  t.false(seen().includes('ABCDE'), 'the old code is gone from the picture')
})

test('with a site the screen says ready once both services answer, and what needs attention, without obeying it', async t => {
  const { places, put, start, said, seen } = screenOf(t)
  const listen = async (port: number) =>
    new Promise<{ port: number; close(): void }>(resolve => {
      const server = createServer(socket => socket.destroy()).listen(port, '127.0.0.1', () =>
        resolve({ port: (server.address() as { port: number }).port, close: () => server.close() }),
      )
    })
  const storage = await listen(0)
  t.teardown(storage.close)
  const spare = await listen(0)
  spare.close()
  put(places.config, {})
  put(places.siteFacts, { address: 'backup.example.net', authority_port: spare.port, storage_port: storage.port, ca_sha256: 'A'.repeat(43) })
  put(places.siteHealth, {
    time_ms: Date.now(),
    users: 3,
    devices: 4,
    disk_bytes: 2 ** 40,
    disk_free_bytes: 2 ** 39,
    keystore: '192.0.2.7:8200 sealed',
    attention: ['the keystore is sealed'],
  })
  put(places.attention, { items: [{ code: 'DISK', text: 'a disk \x1b[2J\x9b fails\r\nState: ready', since_ms: 0 }] })
  put(places.stickAttention, { items: [{ text: 'a stick was not used' }] })
  start()
  await until(() => said().includes('Services: storage up, authority DOWN\r\n'))
  t.true(said().includes('State: starting\r\n'))
  t.false(said().includes('\nState: ready\r\n'), 'whatever a disk is called')
  for (const line of [
    'Protected: 4 devices of 3 users',
    'Keystore: 192.0.2.7:8200 sealed',
    'Disk: 512 of 1024 GiB free',
    'Attention: the keystore is sealed',
    'Attention: a disk ?[2J? fails??State: ready',
    'Attention: a stick was not used',
  ])
    t.true(said().includes(`${line}\r\n`), line)
  t.teardown((await listen(spare.port)).close)
  await until(() => said().includes('\nState: ready\r\n'))
  t.true(said().includes('Services: storage up, authority up\r\n'))
  t.true(seen().includes('ready'))
})

test('a file of another shape, or too much to show, does not end the screen', async t => {
  const { places, put, start, said, seen } = screenOf(t)
  put(places.shown, { code: 5 })
  put(places.attention, { items: Array.from({ length: 60 }, (_, at) => ({ text: `thing ${at} ${'x'.repeat(200)}` })) })
  start()
  await until(() => said().includes('Attention: thing 59'))
  await until(() => seen().includes('more'))
  const rows = seen().split('\r\n')
  t.is(rows.length, ROWS)
  for (const row of rows) t.true(Buffer.from(row, 'latin1').toString('utf8').length < COLUMNS, row)
})

test('the picture is 24 rows of 79 columns, with nothing to say and with too much', t => {
  for (const count of [0, 3, 100]) {
    const facts = Array.from({ length: count }, (_, at) => ({ label: 'Attention', text: `${at} ${'word '.repeat(at)}` }))
    const rows = stripVTControlCharacters(pictureOf({ title: 'Holdfast', time: '2026-11-26 02:00', facts })).split('\r\n')
    t.is(rows.length, ROWS)
    for (const row of rows) t.is(row.length, COLUMNS - 1)
  }
})
