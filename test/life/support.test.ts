// The support bundle, of a home that is full of secrets, and the words that confirm a factory reset.
import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import test from 'ava'
import { readAttention, writeAttention } from '#image-life/attention.ts'
import { placeAt } from '#image-life/place.ts'
import { redact } from '#image-life/redact.ts'
import { askReset, confirmReset, isResetConfirmed, RESET_WORD_MS } from '#image-life/reset.ts'
import { supportBundle } from '#image-life/support.ts'
import { startSite } from '../site/site.ts'
import { RECOVERY_KEY } from './disks.ts'
import { refused } from './refused.ts'

const ROOT = join(import.meta.dirname, '../..')
const nothing = { stopStorage: () => Promise.resolve(), startStorage: () => Promise.resolve() }
const folder = mkdtempSync(join(tmpdir(), 'holdfast-support-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
/** A secret, and a text that somebody could have logged with it. */
const SECRETS: readonly (readonly [secret: string, text: string])[] = [
  [pem.split('\n')[1] ?? '', `could not read ${pem} of the site`],
  ['SUCS7vbq-very_secret', 'made holdfast://backup.example.net:7400/pair?code=SUCS7vbq-very_secret&ca=p06q for ann'],
  ['eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl', 'ticket eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl refused'],
  ['hvs.CAESIJ1234567890abcdefghij', 'X-Vault-Token hvs.CAESIJ1234567890abcdefghij'],
  [RECOVERY_KEY, `the recovery key is ${RECOVERY_KEY}`],
  ['correct horse', 'login failed, password: "correct horse", for ann'],
  ['hunter2!', 'PASSWORD=hunter2!'],
  [randomBytes(32).toString('hex'), 'key in hex'],
  ['Zm9vYmFyQmF6MTIzNDU2Nzg5MEFCQ0RFRkdISUpLTE1OT1A9', 'W is Zm9vYmFyQmF6MTIzNDU2Nzg5MEFCQ0RFRkdISUpLTE1OT1A9'],
]

test('whatever looks like a secret is taken out of a log, and what is needed to understand it stays', t => {
  for (const [secret, text] of SECRETS) {
    const whole = text.includes(secret) ? text : `${text} ${secret}`
    t.false(redact(whole).includes(secret), whole)
  }
  for (const kept of [
    '2026-11-26T02:01:19.123456+00:00 holdfast holdfast-storage[412]: archive 00112233445566778899aabbccddeeff is full (ENOSPC)',
    'ARCHIVE_FAILED: STORE_UNREADABLE: EIO in /var/lib/holdfast/storage/archives/00112233445566778899aabbccddeeff/00000001.segment',
    'holdfast-storage.service: Main process exited, code=exited, status=1/FAILURE',
    'uuid 6f1c2a50-91e5-4a0e-9d3b-0c8a2b1d4e5f mounted',
  ])
    t.is(redact(kept), kept)
})

test('no file, log or listing of a support bundle has a secret of the site in it', async t => {
  const site = await startSite()
  try {
    const place = placeAt(site.home, join(folder, 'run'), ROOT, nothing)
    mkdirSync(place.own, { recursive: true })
    mkdirSync(place.run, { recursive: true })
    writeFileSync(join(place.own, 'data-disks.key'), 'a key of the data disks that is easy to recognise')
    await writeAttention(
      place,
      SECRETS.map(([secret, text], i) => ({ code: `c-${i}`, text: (text.includes(secret) ? text : `${text} ${secret}`).slice(0, 490) })),
      1,
    )
    const parts: Buffer[] = []
    const bundle = await supportBundle(place, Date.UTC(2026, 10, 26), said => parts.push(Buffer.from((said as { part: string }).part, 'base64')))
    const packed = Buffer.concat(parts)
    t.is(bundle.bytes, packed.length)
    t.is(bundle.sha256, createHash('sha256').update(packed).digest('hex'))
    t.is(bundle.name, 'holdfast-support-2026-11-26-00-00-00.tar.zst')
    const tar = zstdDecompressSync(packed)
    const text = tar.toString('latin1')
    writeFileSync(join(folder, 'bundle.tar'), tar)
    const names = execFileSync('tar', ['--list', '--file', join(folder, 'bundle.tar')], { encoding: 'utf8' })
    for (const name of ['journal.txt', 'disks.json', 'config.json', 'attention.json', 'units.txt']) t.true(names.includes(`/${name}\n`), name)
    t.regex(text, /"authority_port":\d+/)
    for (const [secret] of SECRETS) t.false(text.includes(secret), secret)
    t.false(text.includes('easy to recognise'))
    for (const key of ['authority/ca.key', 'authority/authority.key', 'authority/ticket.key', 'storage/storage.key']) {
      const line = readFileSync(join(site.home, key), 'utf8').split('\n')[1] ?? ''
      t.true(line.length > 20)
      t.false(text.includes(line), key)
    }
  } finally {
    await site.close()
  }
})

test('a factory reset needs the word that is on the screen, which is good once and for ten minutes', async t => {
  const place = placeAt(join(folder, 'home'), join(folder, 'run-reset'), ROOT, nothing)
  const shown = async (): Promise<string> => (await readAttention(join(place.run, 'console.json'))).items[0]?.text ?? ''
  const wordOf = (text: string): string => /the word ([A-Z2-9]{8}) /.exec(text)?.[1] ?? ''
  await refused(t, 'RESET_NOT_ASKED', confirmReset(place, 'ABCDEFGH', 0))
  const answer = await askReset(place, 1000)
  const first = wordOf(await shown())
  t.is(first.length, 8)
  t.false(JSON.stringify(answer).includes(first), 'who asks is not told')
  t.is(statSync(join(place.run, 'console.json')).mode & 0o777, 0o640)
  await refused(t, 'RESET_WORD_WRONG', confirmReset(place, first === 'ABCDEFGH' ? 'BBCDEFGH' : 'ABCDEFGH', 2000))
  t.is(await shown(), '')
  await refused(t, 'RESET_NOT_ASKED', confirmReset(place, first, 2000))
  await askReset(place, 3000)
  await refused(t, 'RESET_NOT_ASKED', confirmReset(place, wordOf(await shown()), 3001 + RESET_WORD_MS))
  t.false(isResetConfirmed(place))
  await askReset(place, 3000)
  await confirmReset(place, wordOf(await shown()).toLowerCase(), 4000)
  t.true(isResetConfirmed(place))
})

test('what needs attention keeps the time since when it does, and takes in what others say', async t => {
  const place = placeAt(join(folder, 'home'), join(folder, 'run-attention'), ROOT, nothing)
  mkdirSync(join(place.run, 'attention.d'), { recursive: true })
  writeFileSync(join(place.run, 'attention.d/network.json'), JSON.stringify({ items: [{ code: 'network-down', text: 'No network.', since_ms: 7 }] }))
  writeFileSync(join(place.run, 'attention.d/broken.json'), '{"items":[{}]}')
  await writeAttention(place, [{ code: 'disk-missing', text: 'Disk A' }], 100)
  const later = await writeAttention(
    place,
    [
      { code: 'disk-missing', text: 'Disk A' },
      { code: 'state-full', text: 'full' },
    ],
    200,
  )
  t.deepEqual(
    later.items.map(({ code, since_ms }) => [code, since_ms]),
    [
      ['disk-missing', 100],
      ['state-full', 200],
      ['network-down', 7],
    ],
  )
  t.is(statSync(join(place.run, 'attention.json')).mode & 0o777, 0o644)
  t.deepEqual(
    (await writeAttention(place, [], 300)).items.map(({ code }) => code),
    ['network-down'],
  )
})
