// Network and time settings: what is taken, and what systemd-networkd is given. The stick's program is the real one.

import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { checkNetwork, NETWORK_FILE_BYTES_MAX, type Network, networkUnit, parseNetwork } from '#image-setup/network.ts'
import { placesUnder } from '#image-setup/places.ts'
import { checkTime, timeUnit, zoneFile } from '#image-setup/time.ts'
import { isFault } from '#protocol/fault.ts'

const BASE: Network = { version: 1, ipv4: { method: 'dhcp' }, ipv6: { method: 'auto' }, dns: [] }
const v4 = (address: string, gateway?: string): Network => ({ ...BASE, ipv4: { method: 'static', address, ...(gateway === undefined ? {} : { gateway }) } })
const v6 = (address: string, gateway?: string): Network => ({ ...BASE, ipv6: { method: 'static', address, ...(gateway === undefined ? {} : { gateway }) } })

test('static settings name their interface, and every interface keeps its link-local addresses', t => {
  const network: Network = { ...v4('192.0.2.10/24', '192.0.2.1'), interface: 'eno1', dns: ['192.0.2.53', '2001:db8::53'] }
  const unit = networkUnit(checkNetwork(network), ['eno0', 'eno1'])
  for (const line of [
    'Name=eno1',
    'DHCP=no',
    'IPv6AcceptRA=yes',
    'LinkLocalAddressing=yes',
    'Address=192.0.2.10/24',
    'Gateway=192.0.2.1',
    'DNS=192.0.2.53',
    'DNS=2001:db8::53',
  ])
    t.true(unit.split('\n').includes(line), line)
  t.regex(networkUnit(BASE, ['eth1', 'eth0']), /^Name=eth0$/m, 'the first by name')
  t.regex(networkUnit({ ...BASE, interface: '52:54:00:12:34:56' }, []), /^MACAddress=52:54:00:12:34:56$/m)
  t.regex(networkUnit(BASE, []), /^Type=ether$/m)
})

for (const [title, network] of [
  ['192.0.2.10/24 without a gateway', v4('192.0.2.10/24')],
  ['a /32', v4('192.0.2.10/32')],
  ['IPv6', v6('2001:db8::10/64', '2001:db8::1')],
  ['IPv6 with a link-local gateway', v6('2001:db8::10/64', 'fe80::1')],
  ['link-local only', { ...BASE, ipv4: { method: 'link-local' }, ipv6: { method: 'link-local' } } satisfies Network],
] as const)
  test(`${title} is taken`, t => {
    t.deepEqual(checkNetwork(network), network)
  })

for (const [title, network] of [
  ['an address without a prefix', v4('192.0.2.10')],
  ['a prefix of 33', v4('192.0.2.10/33')],
  ['a prefix with a zero before it', v4('192.0.2.10/024')],
  ['an address of four digits', v4('1920.0.2.1/24')],
  ['IPv6 where IPv4 belongs', v4('2001:db8::10/64')],
  ['the loopback', v4('127.0.0.1/8')],
  ['multicast', v4('224.0.0.5/24')],
  ['broadcast', v4('255.255.255.255/32')],
  ['a gateway that is the machine itself', v4('192.0.2.10/24', '192.0.2.10')],
  ['a gateway outside', v4('192.0.2.10/24', '192.0.3.1')],
  ['a gateway of IPv6 outside', v6('2001:db8::10/64', '2001:db9::1')],
  ['a link-local address as a static one', v6('fe80::10/64')],
  ['IPv4 in IPv6', v6('::ffff:192.0.2.10/96')],
  ['an address with a zone', v6('2001:db8::10%eth0/64')],
  ['a name server that is a name', { ...BASE, dns: ['dns.example.net'] }],
  ['five name servers', { ...BASE, dns: Array.from({ length: 5 }, () => '192.0.2.53') }],
  ['a name server with a line break', { ...BASE, dns: ['192.0.2.53\n[Match]'] }],
  ['DHCP with an address', { ...BASE, ipv4: { method: 'dhcp', address: '192.0.2.10/24' } }],
  ['another version', { ...BASE, version: 2 }],
  ['what nobody knows', { ...BASE, wifi: 'x' }],
  ['an interface with a slash', { ...BASE, interface: '../eth0' }],
] as const)
  test(`${title} is refused`, t => {
    t.throws(() => checkNetwork(network), { code: 'NETWORK_INVALID' })
  })

test('no text makes the parser do anything but refuse it or return settings that cannot add a line', t => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc
      .record({ version: fc.constant(1), interface: fc.string(), ipv4: fc.object(), ipv6: fc.object(), dns: fc.array(fc.string()) })
      .map(value => JSON.stringify(value)),
  )
  fc.assert(
    fc.property(text, given => {
      try {
        t.is(networkUnit(parseNetwork(given), []).split('\n[').length, 4)
      } catch (error) {
        if (!isFault(error, 'NETWORK_INVALID')) throw error
      }
    }),
    { numRuns: 200 },
  )
  t.pass()
})

test('time settings are taken when the zone exists and the servers are names or addresses', t => {
  const time = { version: 1, servers: ['ntp.example.net', '192.0.2.4', '2001:db8::4'], zone: 'America/New_York' } as const
  t.is(timeUnit(checkTime(time)), '[Time]\nNTP=ntp.example.net 192.0.2.4 2001:db8::4\n')
  t.is(zoneFile(checkTime(time)), 'TZ=America/New_York\n')
  for (const change of [
    { zone: 'nowhere' },
    { zone: '../etc' },
    { servers: ['a\nb'] },
    { servers: ['-x'] },
    { servers: ['1.2.3'] },
    { servers: ['a', 'b', 'c', 'd', 'e'] },
    { more: 1 },
  ])
    t.throws(() => checkTime({ ...time, ...change }), { code: 'TIME_INVALID' }, JSON.stringify(change))
})

async function stick(root: string, volume: string): Promise<number> {
  const program = join(import.meta.dirname, '../../image/setup/stick.ts')
  return new Promise(resolve => execFile(process.execPath, [program, '--volume', volume, '--root', root], error => resolve(error ? Number(error.code) : 0)))
}

test('a stick sets the network, a bad one says why on the screen and changes nothing, and a good one undoes that', async t => {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-stick-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const places = placesUnder(root)
  const volume = join(root, 'stick')
  for (const folder of [volume, join(places.home, 'network'), join(root, 'sys/class')]) mkdirSync(folder, { recursive: true })
  symlinkSync('/sys/class/net', places.interfaces)
  const file = join(volume, 'holdfast-network.json')

  t.is(await stick(root, volume), 0, 'a stick for something else')
  t.false(existsSync(places.network))
  const wanted = { ...v4('192.0.2.10/24'), interface: 'eno1' }
  writeFileSync(file, JSON.stringify(wanted))
  t.is(await stick(root, volume), 0)
  t.deepEqual(JSON.parse(readFileSync(places.network, 'utf8')), wanted)
  const unit = readFileSync(places.networkUnit, 'utf8')
  t.regex(unit, /^Address=192\.0\.2\.10\/24$/m)

  const bad: (() => void)[] = [
    () => writeFileSync(file, '{'),
    () => writeFileSync(file, JSON.stringify(v4('192.0.2.10/24', '198.51.100.1'))),
    () => writeFileSync(file, ' '.repeat(NETWORK_FILE_BYTES_MAX + 1)),
    () => symlinkSync('/etc/passwd', file),
    () => mkdirSync(file),
    () => void spawnSync('mkfifo', [file]),
  ]
  for (const make of bad) {
    rmSync(file, { recursive: true, force: true })
    make()
    t.not(await stick(root, volume), 0, make.toString())
    t.regex(readFileSync(places.stickAttention, 'utf8'), /holdfast-network\.json on the USB stick was not used: NETWORK_INVALID/)
    t.is(readFileSync(places.networkUnit, 'utf8'), unit)
  }
  rmSync(file)
  writeFileSync(file, JSON.stringify(BASE))
  t.is(await stick(root, volume), 0)
  t.regex(readFileSync(places.networkUnit, 'utf8'), /^DHCP=ipv4$/m)
  t.false(existsSync(places.stickAttention))
})
