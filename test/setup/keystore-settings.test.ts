// Another connection file for a site that is there.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'ava'
import { storeKeystore } from '#image-setup/keystore-settings.ts'
import { placesUnder } from '#image-setup/places.ts'
import { parseConnection } from '#keystore-client/connection.ts'
import { makeConnection } from './keystore-file.ts'

test('another connection file takes the place of the first with its owner and rules, and one that is not its successor changes nothing', async t => {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-keystore-settings-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const places = placesUnder(root)
  for (const folder of [dirname(places.connection), dirname(places.keystoreRules)]) mkdirSync(folder, { recursive: true })
  t.throws(() => storeKeystore(places, {}), { code: 'SETTING_INVALID' }, 'a site without a keystore')
  const first = await makeConnection()
  writeFileSync(places.connection, JSON.stringify(first), { mode: 0o600 })

  const next = { ...(await makeConnection(['https://192.0.2.8:8200'])), tenants: { ...first.tenants, more: { identity: `${'B'.repeat(43)}=` } } }
  storeKeystore(places, JSON.parse(JSON.stringify(next)))
  t.deepEqual(parseConnection(readFileSync(places.connection, 'utf8')), next)
  t.is(statSync(places.connection).mode & 0o777, 0o600)
  const rules = readFileSync(places.keystoreRules, 'utf8')
  t.is(rules, 'add element inet holdfast keystore_v4 { 192.0.2.8 . 8200 }\n')

  const refused: unknown[] = [
    null,
    'text',
    { ...next, addresses: [] },
    { ...next, key: 'no key' },
    first,
    { ...next, tenants: { ...next.tenants, default: { identity: `${'C'.repeat(43)}=` } } },
  ]
  for (const value of refused) {
    t.throws(() => storeKeystore(places, value), { code: 'SETTING_INVALID' })
    t.deepEqual(parseConnection(readFileSync(places.connection, 'utf8')), next)
    t.is(readFileSync(places.keystoreRules, 'utf8'), rules)
  }
})
