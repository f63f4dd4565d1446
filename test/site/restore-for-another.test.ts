// A restore for somebody else: an administrator asks, another person agrees at the real keystore, a restore worker writes the
// archive file. Without each of them nothing comes out.
import { type ChildProcess, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore } from './keystore.ts'
import { startSite } from './site.ts'

/** Long enough to be met in the middle. */
const LARGER_BYTES = 200_000_000

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
const fetchParameters = (administrator: string, restore: string, name: string): string[] => [
  'restore',
  'fetch',
  restore,
  '--as',
  administrator,
  '--to',
  join(folder, name),
  '--password-file',
  password,
  '--json',
  '--home',
  site.home,
]
const fetch = (administrator: string, restore: string, name: string, ...more: string[]): Promise<Ended> =>
  holdfast([...fetchParameters(administrator, restore, name), ...more], { launcher: 'holdfast-appliance' })
const approve = (name: string, request: string): Promise<Ended> =>
  holdfast(['approve', request, '--connection', keystore.connection, '--as', name, '--password-file', approverPassword, '--json'], {
    launcher: 'holdfast-keystore',
  })
const unpack = (name: string, format: string, target: string): void => {
  mkdirSync(target)
  if (format === 'tar') execFileSync('tar', ['-xpf', join(folder, name), '-C', target])
  else execFileSync('python3', ['-m', 'zipfile', '-e', join(folder, name), target])
}
const unpacked = (name: string, format: string): string[] => {
  const target = join(folder, `${name}.out`)
  unpack(name, format, target)
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

for (const format of ['tar', 'zip']) {
  test.serial(`a download as a ${format} that was interrupted goes on with what is there, and is the whole archive`, async t => {
    const path = join(tree, 'larger')
    writeFileSync(path, Buffer.alloc(LARGER_BYTES, 'many lines that are alike\n'))
    await site.agentJson(home, 'backup', tree)
    const name = `interrupted.${format}`
    const { restore, request } = await asked('iris', path, '--format', format)
    t.is((await approve('otto', request)).code, 0)
    let child: ChildProcess | undefined
    const first = holdfast(fetchParameters('iris', restore, name), {
      launcher: 'holdfast-appliance',
      onStart: it => {
        child = it
      },
    })
    while ((statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0) === 0) await pause(2)
    child?.kill('SIGKILL')
    await first
    const cut_bytes = statSync(join(folder, name)).size
    t.true(cut_bytes < LARGER_BYTES, `${cut_bytes}`)
    let ended = await fetch('iris', restore, name, '--resume')
    // That the first one is gone is seen when its worker has ended.
    while (/^RESTORE_BUSY: /m.test(ended.err)) ended = await fetch('iris', restore, name, '--resume')
    t.is(ended.code, 0, ended.err)
    t.is((JSON.parse(ended.out) as { from_bytes: number }).from_bytes, cut_bytes)
    const target = join(folder, `${name}.out`)
    unpack(name, format, target)
    t.true(readFileSync(path).equals(readFileSync(join(target, path))))
    rmSync(target, { recursive: true })
    rmSync(path)
  })
}

test.serial('a download that is cancelled breaks off, and can not be gone on with', async t => {
  const path = join(tree, 'larger')
  writeFileSync(path, Buffer.alloc(LARGER_BYTES, 'many lines that are alike\n'))
  await site.agentJson(home, 'backup', tree)
  const { restore, request } = await asked('iris', path)
  t.is((await approve('otto', request)).code, 0)
  let child: ChildProcess | undefined
  const ended = holdfast(fetchParameters('iris', restore, 'cancelled.tar'), {
    launcher: 'holdfast-appliance',
    onStart: it => {
      child = it
    },
  })
  while ((statSync(join(folder, 'cancelled.tar'), { throwIfNoEntry: false })?.size ?? 0) === 0) await pause(2)
  child?.kill('SIGSTOP')
  t.is((await appliance('restore', 'cancel', restore, '--as', 'otto', '--password-file', password)).code, 0)
  child?.kill('SIGCONT')
  const { code, err } = await ended
  t.not(code, 0)
  t.regex(err, /^RESTORE_BROKEN_OFF: /m)
  t.true(statSync(join(folder, 'cancelled.tar')).size < LARGER_BYTES)
  t.regex((await fetch('iris', restore, 'cancelled.tar', '--resume')).err, /^RESTORE_UNKNOWN: /m)
  rmSync(path)
})

test.serial('the owner is told who asked, and why, and who released it', async t => {
  const { restored_by_others } = await site.agentJson<{ restored_by_others: { administrator: string; reason: string; state: string; approver?: string }[] }>(
    home,
    'status',
  )
  t.true(restored_by_others.some(one => one.administrator === 'iris' && one.reason === 'she is on leave' && one.state === 'opened' && one.approver === 'otto'))
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

test.serial('every step has its audit record, and that of opening, before anything is opened, names who released it', async t => {
  const lines = readFileSync(join(site.home, 'authority', 'audit.log'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { act: string; facts?: { approver?: string; jti?: string; restore?: string } })
  for (const act of [
    'restore.ask',
    'restore.refused',
    'restore.open',
    'key.opened',
    'restore.fetch',
    'restore.interrupted',
    'restore.end',
    'administrator.refused',
  ])
    t.true(
      lines.some(line => line.act === act),
      act,
    )
  const openings = lines.filter(({ act }) => act === 'restore.open')
  t.deepEqual(
    openings.map(({ facts }) => facts?.approver),
    ['otto', 'iris', 'otto', 'otto', 'otto'],
  )
  for (const opening of openings) {
    const opened = lines.findIndex(({ act, facts }) => act === 'key.opened' && facts?.jti === opening.facts?.jti)
    t.true(opened > lines.indexOf(opening))
  }
  await site.appliance('audit', 'verify')
})
