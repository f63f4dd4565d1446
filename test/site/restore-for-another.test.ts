// A restore for somebody else: an administrator asks, another person agrees at the real keystore, a restore worker writes the
// archive file. Without each of them nothing comes out.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore } from './keystore.ts'
import { startSite } from './site.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-for-another-'))
const approverPassword = join(folder, 'approver-password')
writeFileSync(approverPassword, 'a password at the keystore\n', { mode: 0o600 })
const keystore = await startKeystore(folder, { names: ['iris', 'otto'], passwordFile: approverPassword })
const site = await startSite({ folder: join(folder, 'site'), keystore: keystore.connection })
test.after.always(async () => {
  await site.close()
  await keystore.stop()
  rmSync(folder, { recursive: true, force: true })
})

const password = join(site.folder, 'password')
const tree = join(folder, 'tree')
mkdirSync(join(tree, 'letters'), { recursive: true })
writeFileSync(join(tree, 'letters', 'one'), 'what somebody else needs')
writeFileSync(join(tree, 'large'), Buffer.alloc(9_000_000, 'seven bytes '))

const appliance = (...parameters: string[]): Promise<Ended> => holdfast([...parameters, '--home', site.home], { launcher: 'holdfast-appliance' })
const ask = (administrator: string, ...more: string[]): Promise<Ended> =>
  appliance('restore', 'ask', 'ann', ...more, '--as', administrator, '--reason', 'she is on leave', '--password-file', password, '--json')
const asked = async (administrator: string, ...more: string[]): Promise<{ restore: string; request: string }> => {
  const ended = await ask(administrator, ...more)
  if (ended.code !== 0) throw new Error(ended.err)
  return JSON.parse(ended.out) as { restore: string; request: string }
}
const fetch = (administrator: string, restore: string, name: string, ...more: string[]): Promise<Ended> =>
  appliance('restore', 'fetch', restore, '--as', administrator, '--to', join(folder, name), '--password-file', password, '--json', ...more)
const approve = (name: string, request: string): Promise<Ended> =>
  holdfast(['approve', request, '--connection', keystore.connection, '--as', name, '--password-file', approverPassword, '--json'], {
    launcher: 'holdfast-keystore',
  })
const unpacked = (name: string, format: string): string[] => {
  const target = join(folder, `${name}.out`)
  mkdirSync(target)
  if (format === 'tar') execFileSync('tar', ['-xpf', join(folder, name), '-C', target])
  else execFileSync('python3', ['-m', 'zipfile', '-e', join(folder, name), target])
  return [...compareFolders(tree, join(target, tree), () => false).differences].filter(line => format === 'tar' || !/mode|owner|time|modified/i.test(line))
}
let home = ''

test.serial.before(async () => {
  home = await site.pair('ann-1')
  await site.agentJson(home, 'backup', tree)
  for (const name of ['iris', 'otto']) await site.appliance('administrator', 'add', name, '--password-file', password)
})

test.serial('what was asked for and released by somebody else comes as a tar that unpacks to what was backed up, once', async t => {
  const { restore, request } = await asked('iris')
  const early = await fetch('iris', restore, 'early.tar')
  t.is(early.code, 5)
  t.regex(early.err, /^RESTORE_NOT_APPROVED: /m)
  const own = await approve('iris', request)
  t.is(own.code, 4, own.err)
  t.regex(own.err, /^APPROVAL_OWN: /m)
  t.regex((await fetch('iris', restore, 'own.tar')).err, /^RESTORE_NOT_APPROVED: /m)
  t.is((await approve('otto', request)).code, 0)
  const another = await fetch('otto', restore, 'otto.tar')
  t.regex(another.err, /^RESTORE_UNKNOWN: /m)
  const ended = await fetch('iris', restore, 'ann.tar')
  t.is(ended.code, 0, ended.err)
  t.deepEqual(unpacked('ann.tar', 'tar'), [])
  t.regex((await fetch('iris', restore, 'again.tar')).err, /^RESTORE_UNKNOWN: /m)
})

test.serial('a zip of some paths only comes whole, and has ended then: a file that is cut afterwards can not be gone on with', async t => {
  const { restore, request } = await asked('otto', join(tree, 'large'), '--format', 'zip')
  t.is((await approve('iris', request)).code, 0)
  const file = join(folder, 'part.zip')
  const first = await fetch('otto', restore, 'part.zip')
  t.is(first.code, 0, first.err)
  const whole = readFileSync(file)
  t.true(whole.length > 9_000_000)
  truncateSync(file, 4_000_000)
  const late = await fetch('otto', restore, 'part.zip', '--resume')
  t.regex(late.err, /^RESTORE_UNKNOWN: /m)
})

test.serial('the owner is told who asked, and why', async t => {
  const { restored_by_others } = await site.agentJson<{ restored_by_others: { administrator: string; reason: string; state: string }[] }>(home, 'status')
  t.true(restored_by_others.some(one => one.administrator === 'iris' && one.reason === 'she is on leave' && one.state === 'opened'))
})

test.serial('a wrong password, another tenant or an unknown user gets nothing', async t => {
  const wrong = join(folder, 'wrong')
  writeFileSync(wrong, 'not the password\n')
  const refused = await appliance('restore', 'ask', 'ann', '--as', 'iris', '--reason', 'curious', '--password-file', wrong)
  t.is(refused.code, 4)
  t.regex(refused.err, /^PASSWORD_WRONG: /m)
  const nobody = await appliance('restore', 'ask', 'ann', '--as', 'nobody', '--reason', 'curious', '--password-file', password)
  t.regex(nobody.err, /^PASSWORD_WRONG: /m)
  await site.appliance('tenant', 'add', 'other')
  await site.appliance('administrator', 'add', 'olga', '--tenant', 'other', '--password-file', password)
  t.regex((await ask('olga')).err, /^DEVICE_UNKNOWN: /m)
})

test.serial('every step has its audit record', async t => {
  const acts = readFileSync(join(site.home, 'authority', 'audit.log'), 'utf8')
    .trim()
    .split('\n')
    .map(line => (JSON.parse(line) as { act: string }).act)
  for (const act of ['restore.ask', 'restore.open', 'key.open.failed', 'key.opened', 'restore.fetch', 'restore.end', 'administrator.refused'])
    t.true(acts.includes(act), act)
  await site.appliance('audit', 'verify')
})
