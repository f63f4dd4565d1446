// Custody by the tenant's policy, through all of it: what a passphrase locks opens with it only, and a policy that changes
// takes effect with new keys, without a byte of backups sent again.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore } from './keystore.ts'
import { peopleOf } from './people.ts'
import { startSite } from './site.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-custody-'))
const keystore = await startKeystore(folder)
const site = await startSite({ folder: join(folder, 'site'), keystore: keystore.connection })
test.after.always(async () => {
  await site.close()
  await keystore.stop()
  rmSync(folder, { recursive: true, force: true })
})

const { password, add: addUser, pair, keyLines } = peopleOf(site, folder)
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const passphrase = write('passphrase', 'seven horses on a bridge\n')
const wrong = write('wrong', 'six horses on a bridge\n')
const tree = join(folder, 'tree')
mkdirSync(tree)
writeFileSync(join(tree, 'letter'), 'what must not be lost')

const custody = (kind: string): Promise<string> => site.appliance('tenant', 'custody', 'default', kind)
const untilSafe = async (home: string): Promise<void> => {
  while ((await site.agentJson<{ escrow: { safe_ms: number | null } | null }>(home, 'status')).escrow?.safe_ms === null) await pause(100)
}

test.serial('behind a passphrase, a further device gets the key with the passphrase only, and nobody else can restore', async t => {
  await custody('passphrase')
  await addUser('dora')
  const weak = await pair('dora', 'weak', '--passphrase-file', write('short', 'short\n'))
  t.regex(weak.err, /^PASSPHRASE_WEAK: /m)
  const first = await pair('dora', 'dora-1', '--passphrase-file', passphrase)
  t.is(first.code, 0, first.err)
  await site.agentJson(first.home, 'backup', tree)
  await untilSafe(first.home)
  const refused = await pair('dora', 'dora-2', '--passphrase-file', wrong)
  t.is(refused.code, 4)
  t.regex(refused.err, /^PASSPHRASE_WRONG: /m)
  const second = await pair('dora', 'dora-3', '--passphrase-file', passphrase)
  t.is(second.code, 0, second.err)
  t.deepEqual(await keyLines(second.home), await keyLines(first.home))
  await site.appliance('administrator', 'add', 'iris', '--password-file', password)
  const asked = await holdfast(
    [
      'restore',
      'ask',
      'dora',
      '--device',
      (await site.agentJson<{ device: string }>(first.home, 'status')).device,
      '--as',
      'iris',
      '--reason',
      'curious',
    ].concat(['--password-file', password, '--home', site.home]),
    { launcher: 'holdfast-appliance' },
  )
  t.is(asked.code, 4)
  t.regex(asked.err, /^CUSTODY_FORBIDS: /m)
})

test.serial('a policy that changes takes effect with a new key: nothing is sent again, old backups open, other devices follow', async t => {
  const [first, second] = [join(folder, 'dora-1'), join(folder, 'dora-3')]
  await custody('escrowed')
  const { read_bytes } = await site.agentJson<{ read_bytes: number }>(first, 'backup', tree)
  t.is(read_bytes, 0)
  t.is((await keyLines(first)).length, 2)
  await untilSafe(first)
  await site.agentJson(second, 'backup', tree)
  t.deepEqual(await keyLines(second), await keyLines(first))
  await custody('passphrase')
  // The device knows the passphrase's key from before, and needs nobody.
  await site.agentJson(first, 'backup', tree)
  t.is((await keyLines(first)).length, 3)
  await site.agentJson(first, 'verify', '--read-data')
})

test.serial('whoever never gave a passphrase is asked for one, and backups go on until then', async t => {
  await custody('escrowed')
  await addUser('ed')
  const { home } = await pair('ed', 'ed-1')
  await site.agentJson(home, 'backup', tree)
  await custody('passphrase')
  const ended = await site.agent(home, 'backup', tree)
  t.is(ended.code, 0, ended.err)
  t.regex(ended.err, /holdfast key renew/)
  t.is((await keyLines(home)).length, 1)
  await site.agentJson(home, 'key', 'renew', '--passphrase-file', passphrase)
  t.is((await keyLines(home)).length, 2)
})

test.serial('self-held keys go nowhere', async t => {
  await custody('self-held')
  await addUser('fay')
  const { home, out, code, err } = await pair('fay', 'fay-1')
  t.is(code, 0, err)
  t.is((JSON.parse(out) as { key: string }).key, 'local')
  await site.agentJson(home, 'backup', tree)
  t.is((await site.agentJson<{ escrow: unknown }>(home, 'status')).escrow, null)
})
