// A restore that is pushed to another device: asked for by an administrator, released by another person at the real keystore,
// carried out by the device itself, which forgets the key. Without each of them nothing comes, and nothing lands outside.
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { createAnswerBox } from '#keystore-seal/answer-box.ts'
import type { ShownRestore } from '#protocol/restore-api.ts'
import { fetchPushKey, fetchPushTicket } from '#site/pushes.ts'
import { openSite } from '#site/site.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import type { Ended } from '../agent/cli/holdfast.ts'
import { coreOf, coresAreFiles, countInMemory } from '../process-memory.ts'
import { isWhole, namesIn, startPushing, untilInTheMiddle } from './pushing.ts'

const pushing = await startPushing({ isLarge: true })
test.after.always(() => pushing.close())
const { site, tree, ids, folder, ann, ben, acts } = pushing

const into = join(folder, 'received')
const landed = (name: string): string => join(into, name, tree)
const same = (name: string): readonly string[] => compareFolders(tree, landed(name), () => false).differences
const small = join(tree, 'letters')
const keyOfAnn = async (): Promise<Buffer> => {
  const file = join(folder, `${Date.now()}.key`)
  await site.agentJson(ann, 'key', 'export', '--to', file)
  const key = Buffer.from((/^key 1 ([0-9a-f ]+) check/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '').replaceAll(' ', ''), 'hex')
  if (key.length !== 32) throw new Error('no key')
  return key
}
/** The processes of this test's site and keystore, and its agents. */
const pidsOf = (name: string): number[] =>
  readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry))
    .map(Number)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(name)
      } catch {
        return false
      }
    })
/** Releases, and waits until the target has done it. */
const releasedAndDone = async ({ restore, request }: { restore: string; request: string }): Promise<string | undefined> => {
  await pushing.release(request)
  return (await pushing.until(restore, ({ state }) => state !== 'asked' && state !== 'opened')).state
}

test.serial('what was asked for and released by somebody else comes to the other device, as it was backed up', async t => {
  const { restore, request } = await pushing.push('--to', 'from-ann')
  const { ended, said } = pushing.receive(ben, into, '--once')
  t.is((await pushing.until(restore, ({ push }) => push?.is_target_there === true)).state, 'asked')
  t.regex((await pushing.approve('iris', request)).err, /^APPROVAL_OWN: /m)
  t.is((await pushing.show(restore)).state, 'asked')
  t.false(existsSync(join(into, 'from-ann')))
  t.is((await pushing.approve('otto', request)).code, 0)
  const { code, out, err } = await ended
  t.is(code, 0, err)
  t.deepEqual(same('from-ann'), [])
  t.is((JSON.parse(out) as { restore: string }).restore, restore)
  t.regex(said(), /asked for by iris: she is on leave/)
  const shown = await pushing.appliance('restore', 'show', restore, '--as', 'iris', '--password-file', pushing.password, '--json')
  const { state, approver, push } = JSON.parse(shown.out) as ShownRestore
  t.is(state, 'done')
  t.is(approver, 'otto')
  t.is(push?.result?.files, 26)
  t.deepEqual(push?.result?.unrestored, [])
})

test.serial('each step is on record before it is done: who, for whom, why, to which device, released by whom, and the requests at the keystore', t => {
  const all = acts()
  const at = (act: string): number => all.findIndex(one => one.act === act)
  const asked = all[at('restore.ask')]
  t.is(asked?.who, 'iris')
  t.like(asked?.facts, { user: 'ann', device: ids.ann, to_device: ids.ben, to_user: 'ben', reason: 'she is on leave', folder: 'from-ann' })
  const opening = all[at('restore.open')]
  t.like(opening?.facts, { jti: asked?.facts['jti'], approver: 'otto', to_device: ids.ben, user: 'ann' })
  t.regex(String(all[at('key.opened')]?.facts['requests']), /^[0-9a-f-]{36}( [0-9a-f-]{36})+$/)
  const order = ['restore.ask', 'restore.open', 'key.opened', 'push.key', 'restore.end'].map(at)
  t.false(order.includes(-1))
  t.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  )
})

test.serial('the owner is told who has it, and who released it', async t => {
  const { restored_by_others } = await site.agentJson<{ restored_by_others: Record<string, unknown>[] }>(ann, 'status')
  t.like(restored_by_others[0], { administrator: 'iris', reason: 'she is on leave', state: 'opened', approver: 'otto', to: { device: ids.ben, user: 'ben' } })
  t.deepEqual((await site.agentJson<{ restored_by_others: unknown[] }>(ben, 'status')).restored_by_others, [])
})

test.serial("the owner's key is in no file of the target, and in no memory at all when it was done", async t => {
  const key = await keyOfAnn()
  const asked = await pushing.push(small, '--to', 'forgotten')
  const { child, ended } = pushing.receive(ben, into)
  t.is(await releasedAndDone(asked), 'done')
  t.is(countInMemory(child.pid ?? 0, { key })['key'], 0)
  const running = pidsOf(folder)
  t.true(running.length > 3)
  for (const pid of running) t.is(countInMemory(pid, { key })['key'], 0, readFileSync(`/proc/${pid}/cmdline`, 'latin1'))
  child.kill('SIGTERM')
  t.is((await ended).code, 130)
  const files = readdirSync(ben, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  t.true(files.length > 3)
  for (const entry of files) t.false(readFileSync(join(entry.parentPath, entry.name)).includes(key), entry.name)
})

test.serial('nothing lands outside of the directory that the owner of the target named, not through a link either', async t => {
  for (const outside of ['../outside', '/etc', 'a/../../outside', 'a//b'])
    t.regex((await pushing.pushEnded('--to', outside)).err, /^REQUEST_INVALID: /m, outside)
  mkdirSync(join(folder, 'elsewhere'))
  symlinkSync(join(folder, 'elsewhere'), join(into, 'link'))
  const asked = await pushing.push(small, '--to', 'link/deeper')
  const { ended } = pushing.receive(ben, into, '--once')
  t.is(await releasedAndDone(asked), 'failed')
  const { code, err } = await ended
  t.is(code, 1)
  t.regex(err, /^TARGET_UNUSABLE: /m)
  t.like(await pushing.show(asked.restore), { state: 'failed', why: 'TARGET_UNUSABLE' })
  t.deepEqual(readdirSync(join(folder, 'elsewhere')), [])
  // What can not land opens no key.
  t.false(acts().some(({ act, facts }) => act === 'restore.open' && facts['restore'] === asked.restore))
})

test.serial('what stands in the way stays, is replaced, or is left alone, as the administrator chose', async t => {
  const { child, ended } = pushing.receive(ben, into)
  const one = join(landed('conflict'), 'letters', 'one')
  const put = async (rule: string): Promise<void> => {
    mkdirSync(join(landed('conflict'), 'letters'), { recursive: true })
    writeFileSync(one, 'of ben')
    t.is(await releasedAndDone(await pushing.push(small, '--to', 'conflict', '--on-conflict', rule)), 'done')
  }
  await put('skip')
  t.is(readFileSync(one, 'utf8'), 'of ben')
  await put('rename')
  t.is(readFileSync(one, 'utf8'), 'of ben')
  t.is(readFileSync(`${one}.restored`, 'utf8'), 'what somebody else needs')
  await put('overwrite')
  t.is(readFileSync(one, 'utf8'), 'what somebody else needs')
  child.kill('SIGTERM')
  await ended
})

test.serial('an agent that was killed in the middle goes on with the same snapshot, without another approval', async t => {
  const { restore, request } = await pushing.push('--to', 'killed')
  const first = pushing.receive(ben, into, '--once')
  await pushing.release(request)
  await untilInTheMiddle(landed('killed'))
  first.child.kill('SIGKILL')
  await first.ended
  t.is((await pushing.show(restore)).state, 'opened')
  t.false(isWhole(landed('killed')))
  writeFileSync(join(tree, 'letters', 'one'), 'what came later')
  await site.agentJson(ann, 'backup', tree)
  writeFileSync(join(tree, 'letters', 'one'), 'what somebody else needs')
  const second = pushing.receive(ben, into, '--once')
  const { code, err } = await second.ended
  t.is(code, 0, err)
  t.deepEqual(namesIn(landed('killed')), namesIn(tree))
  t.is(readFileSync(join(landed('killed'), 'letters', 'one'), 'utf8'), 'what somebody else needs')
  t.is((await pushing.show(restore)).state, 'done')
  await site.agentJson(ann, 'backup', tree)
})

test.serial('a device that slept while the appliance was restarted goes on by itself: it still has the key', async t => {
  const key = await keyOfAnn()
  const { restore, request } = await pushing.push('--to', 'slept')
  const { child, ended } = pushing.receive(ben, into, '--once')
  await pushing.release(request)
  await untilInTheMiddle(landed('slept'))
  child.kill('SIGSTOP')
  // While it restores the key is there, and nowhere on the appliance.
  t.true((countInMemory(child.pid ?? 0, { key })['key'] ?? 0) > 0)
  for (const pid of pidsOf(site.home)) t.is(countInMemory(pid, { key })['key'], 0)
  await site.kill('authority')
  await site.start()
  t.like(await pushing.show(restore), { state: 'opened', push: { key_until_ms: null } })
  child.kill('SIGCONT')
  const { code, err } = await ended
  t.is(code, 0, err)
  t.deepEqual(same('slept'), [])
  t.is((await pushing.show(restore)).state, 'done')
})

;(coresAreFiles ? test.serial : test.serial.skip)('a core dump of a device that holds the key does not hold it (where cores are files)', async t => {
  const key = await keyOfAnn()
  const { restore, request } = await pushing.push('--to', 'dumped')
  const { child, ended } = pushing.receive(ben, into, '--once')
  await pushing.release(request)
  await untilInTheMiddle(landed('dumped'))
  child.kill('SIGSTOP')
  t.true((countInMemory(child.pid ?? 0, { key })['key'] ?? 0) > 0)
  const memory = await coreOf(child, folder)
  t.is((await ended).signal, 'SIGABRT')
  t.true(memory.includes(restore))
  // Memory that was given back is written over at its beginning first.
  for (const part of [key, key.subarray(16)]) t.is(memory.indexOf(part), -1)
  const { code, err } = await pushing.receive(ben, into, '--once').ended
  t.is(code, 0, err)
  t.deepEqual(same('dumped'), [])
  t.is((await pushing.show(restore)).state, 'done')
})

test.serial('when both the agent and the authority were killed it says that a new approval is needed, and then takes over what is there', async t => {
  const { restore, request } = await pushing.push('--to', 'lost')
  const first = pushing.receive(ben, into, '--once')
  await pushing.release(request)
  await untilInTheMiddle(landed('lost'))
  first.child.kill('SIGKILL')
  await first.ended
  await site.kill('authority')
  await site.start()
  const { child, ended } = pushing.receive(ben, into)
  t.like(await pushing.until(restore, ({ state }) => state !== 'opened'), { state: 'failed', why: 'RESTORE_KEY_GONE' })
  t.is(await releasedAndDone(await pushing.push('--to', 'lost', '--resume')), 'done')
  t.deepEqual(same('lost'), [])
  t.deepEqual(namesIn(landed('lost')), namesIn(tree))
  child.kill('SIGTERM')
  await ended
})

test.serial('another device gets neither the key nor a ticket, nor does the target before the release', async t => {
  const { restore } = await pushing.push('--to', 'never')
  const box = createAnswerBox()
  for (const [home, code] of [
    [ann, 'RESTORE_UNKNOWN'],
    [ben, 'RESTORE_NOT_APPROVED'],
  ] as const) {
    const storage = await openAuthorizedStorage(home)
    const there = await openSite(storage)
    await t.throwsAsync(fetchPushKey(there, restore, box.publicKey), { code })
    await t.throwsAsync(fetchPushTicket(there, restore), { code: 'RESTORE_UNKNOWN' })
    there.close()
    await storage.close()
  }
  box.wipe()
  await site.appliance('tenant', 'add', 'other')
  await site.appliance('administrator', 'add', 'olga', '--tenant', 'other', '--password-file', pushing.password)
  t.regex((await pushing.appliance('restore', 'show', restore, '--as', 'olga', '--password-file', pushing.password)).err, /^RESTORE_UNKNOWN: /m)
})

test.serial('one that was cancelled is not opened any more, and what is under way stops, for whoever of the tenant asks', async t => {
  const cancel = (restore: string, who: string): Promise<Ended> =>
    pushing.appliance('restore', 'cancel', restore, '--as', who, '--password-file', pushing.password)
  const before = await pushing.push('--to', 'cancelled')
  t.regex((await cancel(before.restore, 'olga')).err, /^RESTORE_UNKNOWN: /m)
  t.is((await cancel(before.restore, 'otto')).code, 0)
  t.like(await pushing.show(before.restore), { state: 'ended', why: 'cancelled by otto' })
  // A release that comes too late opens nothing: what stood for the request is revoked.
  await pushing.release(before.request)
  t.regex((await cancel(before.restore, 'iris')).err, /^RESTORE_UNKNOWN: /m)

  const { restore, request } = await pushing.push('--to', 'cancelled')
  const { child, ended, said } = pushing.receive(ben, into)
  await pushing.release(request)
  await untilInTheMiddle(landed('cancelled'))
  child.kill('SIGSTOP')
  t.is((await cancel(restore, 'iris')).code, 0)
  t.like(await pushing.show(restore), { state: 'ended', why: 'cancelled by iris' })
  child.kill('SIGCONT')
  while (!/no such restore of yours any more/.test(said())) await pause(50)
  t.is((await pushing.show(restore)).state, 'ended')
  // It waits for the next one, and does that.
  t.is(await releasedAndDone(await pushing.push(small, '--to', 'after')), 'done')
  child.kill('SIGTERM')
  await ended
  t.false(acts().some(({ act, facts }) => act === 'restore.open' && facts['restore'] === before.restore))
  t.deepEqual(
    acts()
      .filter(({ act }) => act === 'restore.cancel')
      .map(({ who }) => who),
    ['otto', 'iris'],
  )
})

test.serial('a target that is deauthorized in the middle stops at once, and has nothing any more', async t => {
  const { restore, request } = await pushing.push('--to', 'out')
  const { child, ended } = pushing.receive(ben, into)
  await pushing.release(request)
  await untilInTheMiddle(landed('out'))
  child.kill('SIGSTOP')
  await site.appliance('device', 'deauthorize', ids.ben)
  child.kill('SIGCONT')
  const { code, err } = await ended
  t.is(code, 4, err)
  t.regex(err, /^DEVICE_DEAUTHORIZED: /m)
  t.like(await pushing.show(restore), { state: 'failed', why: 'DEVICE_DEAUTHORIZED', push: { key_until_ms: null } })
  t.false(isWhole(landed('out')))
  t.regex((await pushing.pushEnded('--to', 'out')).err, /^DEVICE_UNKNOWN: /m)
  await site.appliance('audit', 'verify')
})

test.serial('so does one that a new device takes over', async t => {
  const second = await pushing.takeOver('ben-2')
  const { restore, request } = await pushing.push('--to', 'moved')
  const { child, ended } = pushing.receive(second, into)
  await pushing.release(request)
  await untilInTheMiddle(landed('moved'))
  child.kill('SIGSTOP')
  await pushing.takeOver('ben-3')
  t.true(acts().some(({ act, facts }) => act === 'restore.end' && facts['restore'] === restore && facts['why'] === 'DEVICE_DEAUTHORIZED'))
  child.kill('SIGCONT')
  t.is((await ended).code, 4)
  t.like(await pushing.show(restore), { state: 'failed', why: 'DEVICE_DEAUTHORIZED', push: { key_until_ms: null } })
})
