// What must not pair, does not, and says why.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { PASSWORD, startSite } from './site.ts'

const site = await startSite()
test.after.always(() => site.close())

const pair = (link: string, name: string, password = PASSWORD): Promise<Ended> =>
  holdfast(['pair', link, '--home', join(site.folder, name), '--password-file', '-'], { input: `${password}\n` })
const hasNoSecrets = (name: string): boolean =>
  !existsSync(join(site.folder, name, 'authorized')) || readdirSync(join(site.folder, name, 'authorized')).length === 0

test('a link works once', async t => {
  const link = await site.link()
  t.is((await pair(link, 'once')).code, 0)
  const again = await pair(link, 'once-more')
  t.is(again.code, 4)
  t.regex(again.err, /^LINK_INVALID: [^\n]*\n$/)
  t.true(hasNoSecrets('once-more'))
})

test('a wrong password pairs nobody, takes its time, and leaves the link as it is', async t => {
  const link = await site.link()
  const wrong = await pair(link, 'wrong', 'not the password')
  t.is(wrong.code, 4)
  t.regex(wrong.err, /^PASSWORD_WRONG: [^\n]*\n$/)
  t.true(hasNoSecrets('wrong'))
  t.is((await pair(link, 'wrong')).code, 0)
})

test('a link that names another CA sends neither code nor password', async t => {
  const link = (await site.link()).replace(/ca=.{43}/, `ca=${'B'.repeat(43)}`)
  const ended = await pair(link, 'another-ca')
  t.is(ended.code, 4)
  t.regex(ended.err, /^CA_MISMATCH: [^\n]*expected a CA with the hash B+; found[^\n]*\n$/)
  t.true(hasNoSecrets('another-ca'))
})

test('a link with a code that nobody made is refused', async t => {
  const ended = await pair((await site.link()).replace(/code=.{43}/, `code=${'C'.repeat(43)}`), 'guessed')
  t.is(ended.code, 4)
  t.regex(ended.err, /^LINK_INVALID: /)
})

test('an empty password is not sent', async t => {
  const ended = await pair(await site.link(), 'empty', '')
  t.is(ended.code, 2)
  t.regex(ended.err, /^PASSWORD_MISSING: /)
})
