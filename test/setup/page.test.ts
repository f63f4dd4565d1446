// The page of set-up: what it is made of, and that a real browser sets an appliance up with it.
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import test from 'ava'
import { hasProgram, needing } from '../programs.ts'
import { startBrowser } from './browser.ts'
import { makeConnection } from './keystore-file.ts'
import { ask, makeMachine, RECOVERY_KEY, SETTINGS, type Server } from './machine.ts'

test('the page runs no script, loads nothing, may not be framed, is not kept, and every field has its label', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await machine.start()
  if (!server) return t.fail('no server')
  const { headers, text } = await ask(server, 'GET', '/')
  const policy = String(headers['content-security-policy'])
  for (const rule of ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) t.true(policy.includes(rule), rule)
  const style = /<style>([\s\S]*?)<\/style>/.exec(text)?.[1] ?? ''
  t.true(policy.includes(`'sha256-${createHash('sha256').update(style).digest('base64')}'`))
  t.is(headers['cache-control'], 'no-store')
  t.is(headers['content-type'], 'text/html; charset=utf-8')
  t.notRegex(text, /<script|\bon[a-z]+=|\bsrc=|<link|@import|url\(|javascript:/)
  t.regex(text, /<html lang="en">/)
  const labels = new Set([...text.matchAll(/<label for="([^"]+)"/g)].map(match => match[1]))
  for (const [, tag = '', attributes = ''] of text.matchAll(/<(input|select)\b([^>]*)>/g)) {
    const id = /\bid="([^"]+)"/.exec(attributes)?.[1]
    if (!/type="radio"/.test(attributes)) t.true(labels.has(id ?? ''), `${tag}${attributes}`)
    const described = /aria-describedby="([^"]+)"/.exec(attributes)?.[1]
    if (described !== undefined) t.true(text.includes(`id="${described}"`))
  }
  for (const [radio] of text.matchAll(/<label class="choice"><input type="radio"[^>]*> [^<]+<\/label>/g)) t.truthy(radio)
})

test('what was typed wrong comes back in the form, marked and escaped, and no secret with it', async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await machine.start()
  if (!server) return t.fail('no server')
  const typed = {
    code: 'x',
    address: '"><script>alert(1)</script>',
    administrator: 'ada',
    password: 'a secret one, long',
    password_again: 'a secret one, long',
    ipv4: 'dhcp',
    ipv6: 'auto',
    zone: 'UTC',
  }
  const { status, text } = await ask(server, 'POST', '/', {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(typed).toString(),
  })
  t.is(status, 400)
  t.regex(text, /role="alert"><p><a href="#address">SETTING_INVALID/)
  t.regex(text, /id="address"[^>]*aria-invalid="true"/)
  t.true(text.includes('value="&quot;&gt;&lt;script&gt;'))
  t.notRegex(text, /<script|a secret one/)
})

const title = 'a person with a browser sets an appliance up, with a mistake on the way'
;(hasProgram('chromium') ? test : test.skip)(needing(title, 'chromium'), async t => {
  const machine = await makeMachine()
  t.teardown(machine.remove)
  const server = await machine.start()
  if (!server) return t.fail('no server')
  const browser = await startBrowser(await publicKeyOf(server))
  t.teardown(browser.close)
  await browser.open(`https://127.0.0.1:${server.port}/`)
  t.is(await browser.evaluate('document.title'), 'Set this appliance up - Holdfast')
  await keep('form', await browser.picture())
  const file = join(machine.root, 'keystore.json')
  writeFileSync(file, JSON.stringify(await makeConnection()))
  const { name, password } = SETTINGS.administrator
  const answers = { code: machine.shown().code, address: SETTINGS.address, administrator: name, password, password_again: password, zone: 'Europe/Berlin' }
  await browser.fill({ ...answers, password_again: 'another long one' })
  await browser.submit()
  t.is(await browser.evaluate(`document.activeElement && document.querySelector('[role=alert] a').hash`), '#password_again')
  await keep('mistake', await browser.picture())
  await browser.fill(answers)
  await browser.attach('#keystore', file)
  await browser.submit()
  t.is(await browser.evaluate(`document.querySelector('code.key').textContent`), RECOVERY_KEY)
  await keep('recovery-key', await browser.picture())
  await browser.fill({ recovery_key_end: 'wrong' })
  await browser.submit()
  t.is(await browser.evaluate(`document.querySelector('code.key').textContent`), RECOVERY_KEY, 'it is shown again to who has the session')
  await browser.fill({ recovery_key_end: 'DDDDDDDD' })
  await browser.submit()
  t.is(await browser.evaluate('document.querySelector("h1").textContent'), 'This appliance is set up')
  await keep('done', await browser.picture())
  await server.ended
  t.true(machine.isSite())
  t.regex(readFileSync(machine.places.keystoreRules, 'utf8'), /192\.0\.2\.7 \. 8200/)
  t.is((JSON.parse(readFileSync(machine.places.time, 'utf8')) as { zone: string }).zone, 'Europe/Berlin')
})

/** Pictures to look at, where somebody asked for them. */
async function keep(name: string, png: Buffer): Promise<void> {
  const folder = process.env['HOLDFAST_PICTURES']
  if (folder) writeFileSync(join(folder, `setup-${name}.png`), png)
}

async function publicKeyOf(server: Server): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false }, () => {
      const key = new X509Certificate(socket.getPeerCertificate().raw).publicKey.export({ type: 'spki', format: 'der' })
      socket.destroy()
      resolve(createHash('sha256').update(key).digest('base64'))
    })
    socket.on('error', reject)
  })
}
