// Network settings that are typed at the machine: the questions, and the real screen program at a real terminal.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type ExecutionContext } from 'ava'
import type { Network } from '#image-setup/network.ts'
import { createNetworkDialogue } from '#image-setup/network-dialogue.ts'
import { placesUnder } from '#image-setup/places.ts'
import { until } from './machine.ts'

function dialogue() {
  const kept: Network[] = []
  const it = createNetworkDialogue(
    () => ['eno1', 'eno2'],
    network => void kept.push(network),
  )
  return { it, kept, type: (...lines: string[]): string => lines.map(line => it.line(line)).join('') }
}
const AUTO = { method: 'auto' } as const

test('nothing begins it but its word, and nothing is set but by yes', t => {
  const { it, kept, type } = dialogue()
  t.is(type('', 'root', 'network x', 'yes'), '')
  t.false(it.isOpen)
  t.regex(type('network'), /192\.0\.2\.10\/24/)
  t.true(it.isOpen)
  t.regex(type('198.51.100.7/24'), /Gateway/)
  t.regex(type('198.51.100.1'), /Name servers/)
  t.regex(type(' 9.9.9.9, 2620:fe::fe '), /eno1, eno2/)
  t.regex(type('eno2'), /yes/)
  t.deepEqual(kept, [])
  t.regex(type('y'), /The network of this appliance/, 'begins again')
  type('198.51.100.7/24', '', '', '', 'yes')
  t.false(it.isOpen)
  t.deepEqual(kept, [{ version: 1, ipv4: { method: 'static', address: '198.51.100.7/24' }, ipv6: AUTO, dns: [] }])
})

test('DHCP needs no gateway, cancel ends it, and so does silence', t => {
  const { it, kept, type } = dialogue()
  type('network', 'dhcp', '192.0.2.53', '', 'yes')
  t.deepEqual(kept, [{ version: 1, ipv4: { method: 'dhcp' }, ipv6: AUTO, dns: ['192.0.2.53'] }])
  type('network', 'dhcp', 'cancel')
  t.false(it.isOpen)
  type('network', 'dhcp')
  it.look(performance.now() + 60_000)
  t.true(it.isOpen)
  it.look(performance.now() + 10 * 60_000)
  t.false(it.isOpen)
  t.is(kept.length, 1)
})

test('what is not valid is said, and asked again from the beginning', t => {
  for (const [address = '', gateway = '', dns = '', name = ''] of [
    ['192.0.2.10'],
    ['300.0.0.1/24'],
    ['192.0.2.10/24', '198.51.100.1'],
    ['192.0.2.10/24', '', 'dns.example.net'],
    ['192.0.2.10/24', '', '', '../etc'],
    ['-'.repeat(1000)],
  ]) {
    const { it, kept, type } = dialogue()
    t.regex(type('network', address, gateway, dns, name), /NETWORK_INVALID[\s\S]*IPv4 address and prefix[^\n]*: $/, address)
    t.true(it.isOpen)
    t.is(kept.length, 0)
  }
})

/** A terminal as the kernel makes them, and what a person at it sees and types. */
async function terminalOf(t: ExecutionContext) {
  const relay = `
import os, pty, select, sys
ours, theirs = pty.openpty()
print(os.ttyname(theirs), flush=True)
while True:
    for end in select.select([0, ours], [], [])[0]:
        part = os.read(end, 4096)
        if not part: sys.exit()
        os.write(ours if end == 0 else 2, part)
`
  const child = spawn('python3', ['-c', relay], { stdio: 'pipe' })
  t.teardown(() => child.kill('SIGKILL'))
  let seen = ''
  child.stderr.on('data', (part: Buffer) => {
    seen += part.toString('latin1')
  })
  const [name] = (await createInterface(child.stdout)[Symbol.asyncIterator]().next()).value?.split('\n') ?? []
  return { name: name ?? '', seen: () => seen, type: (line: string) => void child.stdin.write(`${line}\n`) }
}

for (const where of ['console', 'serial'] as const) {
  test(`typed at the ${where}, settings are left whole for the service that keeps them, which says where they came from`, async t => {
    const root = mkdtempSync(join(tmpdir(), 'holdfast-typed-'))
    const places = placesUnder(root)
    mkdirSync(dirname(places.interfaces), { recursive: true })
    symlinkSync('/sys/class/net', places.interfaces)
    mkdirSync(join(places.home, 'network'), { recursive: true })
    const other = join(root, 'other')
    writeFileSync(other, '')
    const { name, seen, type } = await terminalOf(t)
    const room = join(import.meta.dirname, '../../image/setup')
    const terminals = where === 'console' ? ['--console', name, '--serial', other] : ['--console', other, '--serial', name]
    const screen = spawn(process.execPath, [join(room, 'screen.ts'), '--root', root, ...terminals], { stdio: 'inherit' })
    t.teardown(async () => {
      screen.kill('SIGKILL')
      await new Promise(resolve => screen.once('close', resolve))
      rmSync(root, { recursive: true })
    })
    const after = async (line: string, wanted: RegExp): Promise<void> => {
      const from = seen().length
      type(line)
      await until(() => wanted.test(seen().slice(from)))
    }
    await until(() => seen().includes('type network and Enter'))
    await after('network', /IPv4 address/)
    await after('198.51.100.7/24', /Gateway/)
    await after('', /Name servers/)
    await after('', /Interface/)
    await after('', /Type yes/)
    // While questions are open nothing is written over them.
    mkdirSync(dirname(places.attention), { recursive: true })
    writeFileSync(places.attention, JSON.stringify({ items: [{ text: 'a disk fails' }] }))
    const before = seen()
    await until(() => readFileSync(other, 'latin1').includes('a disk fails'))
    t.is(seen(), before)
    t.false(existsSync(places.typedNetwork))
    await after('yes', /a disk fails/)
    t.like(JSON.parse(readFileSync(places.typedNetwork, 'utf8')), { ipv4: { method: 'static', address: '198.51.100.7/24' } })

    const keep = spawn(process.execPath, [join(room, 'stick.ts'), '--volume', dirname(places.typedNetwork), '--from', 'the console', '--root', root])
    let said = ''
    keep.stdout.on('data', (part: Buffer) => {
      said += part.toString()
    })
    t.is(await new Promise(resolve => keep.once('close', resolve)), 0)
    t.regex(said, /on the console/)
    t.regex(readFileSync(places.networkUnit, 'utf8'), /^Address=198\.51\.100\.7\/24$/m)
  })
}
