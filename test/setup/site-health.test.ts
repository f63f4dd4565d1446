// What the screen is told of the site: asked from a real authority.
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { initHome } from '#authority/home.ts'
import { placesUnder } from '#image-setup/places.ts'
import { SiteHealth } from '#image-setup/site-health-shape.ts'
import { Check } from '#protocol/typebox.js'

const ROOM = join(import.meta.dirname, '../..')
const freePort = (): Promise<number> =>
  new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

test('the health of the site is what its authority says, and nothing is left by an authority that does not answer', async t => {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-health-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const places = placesUnder(root)
  mkdirSync(places.home, { recursive: true })
  await initHome(places.home, { listen: '127.0.0.1', authority_port: await freePort(), storage_port: await freePort() }, undefined, Date.now())
  const look = (): Promise<number> =>
    new Promise(resolve => execFile(process.execPath, [join(ROOM, 'image/setup/site-health.ts'), '--root', root], error => resolve(error ? 1 : 0)))
  t.is(await look(), 1)
  t.false(existsSync(places.siteHealth))

  const authority = spawn(process.execPath, [join(ROOM, 'appliance/authority/main.ts'), '--home', places.home], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise(resolve => authority.once('close', resolve))
  await new Promise(resolve => createInterface(authority.stdout).once('line', resolve))
  t.is(await look(), 0)
  authority.kill('SIGTERM')
  await ended
  const health: unknown = JSON.parse(readFileSync(places.siteHealth, 'utf8'))
  if (!Check(SiteHealth, health)) return t.fail('another shape')
  t.deepEqual([health.users, health.devices], [0, 0])
  t.regex(health.keystore, /^none/)
  t.true(health.disk_free_bytes <= health.disk_bytes)
})
