// An archive that came from another appliance, which is lost: its user goes on with it, with the key of the recovery file, which
// is in escrow from then on.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore } from './keystore.ts'
import { peopleOf } from './people.ts'
import { startSite } from './site.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-another-appliance-'))
const keystore = await startKeystore(folder)
const lost = await startSite({ folder: join(folder, 'lost') })
const site = await startSite({ folder: join(folder, 'site'), keystore: keystore.connection })
test.after.always(async () => {
  await site.close()
  await lost.close()
  await keystore.stop()
  rmSync(folder, { recursive: true, force: true })
})

const tree = join(folder, 'tree')
mkdirSync(tree)
writeFileSync(join(tree, 'letter'), 'what must not be lost')
writeFileSync(join(tree, 'large'), Buffer.alloc(3_000_000, 'seven bytes '))

const people = peopleOf(site, folder)
const keyFile = join(folder, 'ann.key')
const adopt = (archive: string, user: string) =>
  holdfast(['archive', 'adopt', archive, user, '--hostname', 'old-laptop', '--json', '--home', site.home], { launcher: 'holdfast-appliance' })
let archive = ''
let device = ''

test.serial.before(async () => {
  const home = await lost.pair('ann-1')
  await lost.agentJson(home, 'backup', tree)
  await lost.agentJson(home, 'key', 'export', '--to', keyFile)
  archive = (await lost.agentJson<{ archive: string }>(home, 'status')).archive
  await lost.stop()
  cpSync(join(lost.home, 'storage/archives', archive), join(site.home, 'storage/archives', archive), { recursive: true })
  await people.slotsReady()
})

test.serial('an archive is adopted once, and for a user that there is', async t => {
  t.regex((await adopt(archive, 'nobody')).err, /^USER_UNKNOWN: /m)
  t.regex((await adopt('not-an-archive', 'ann')).err, /^REQUEST_INVALID: /m)
  // Two at once: one of them has it.
  const both = await Promise.all([adopt(archive, 'ann'), adopt(archive, 'ann')])
  t.is(both.filter(({ code }) => code === 0).length, 1)
  const adopted = both.find(({ code }) => code === 0) ?? { out: '' }
  t.regex(both.find(({ code }) => code !== 0)?.err ?? '', /^ARCHIVE_OWNED: /m)
  device = (JSON.parse(adopted.out) as { device: string }).device
  t.regex((await adopt(archive, 'ann')).err, /^ARCHIVE_OWNED: /m)
  t.regex(await site.appliance('device', 'list'), new RegExp(`${device.slice(0, 12)} .*ann .*old-laptop .*deauthorized`))
})

test.serial('a file that is no recovery file pairs nothing', async t => {
  const wrong = join(folder, 'wrong.key')
  writeFileSync(wrong, 'not a recovery file\n')
  const ended = await people.pair('ann', 'wrong', '--take-over', device, '--key-file', wrong)
  t.regex(ended.err, /^KEY_FILE_/m)
  const missing = await people.pair('ann', 'missing', '--take-over', device, '--key-file', join(folder, 'no-such-file'))
  t.regex(missing.err, /^FILE_UNUSABLE: /m)
})

test.serial('the user takes it over with the recovery file, restores, and goes on without sending anything again', async t => {
  const { home, key } = await people.paired('ann', 'ann-2', '--take-over', device, '--key-file', keyFile)
  t.is(key, 'given')
  t.is((await people.status(home)).archive, archive)
  await site.agentJson(home, 'restore', '--to', join(folder, 'back'))
  t.deepEqual(compareFolders(tree, join(folder, 'back', tree), () => false).differences, [])
  t.is((await site.agentJson<{ new_blocks: number }>(home, 'backup', tree)).new_blocks, 0)
  t.truthy((await people.untilSafe(home)).escrow)
})

test.serial('from then on the key comes out of escrow, and no other one is taken', async t => {
  const { home, key } = await people.paired('ann', 'ann-3')
  t.is(key, 'fetched')
  t.deepEqual(await people.keyLines(home), await people.keyLines(join(folder, 'ann-2')))
  const again = await people.pair('ann', 'ann-4', '--key-file', keyFile)
  t.regex(again.err, /^KEY_FILE_UNNEEDED: /m)
})
