// The whole path of a byte, by the commands that a user types.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { compareFolders } from '../../scripts/start/compare.ts'
import { holdfast } from '../agent/cli/holdfast.ts'
import { PASSWORD, startSite } from './site.ts'
import { makeTree } from './tree.ts'

const site = await startSite()
test.after.always(() => site.close())

const nothing = (): boolean => false
type Backup = { snapshot: string; sequence: number; files: number; read_bytes: number; sent_bytes: number; new_blocks: number; unreadable: unknown[] }

test.serial('a folder goes to the appliance and comes back the same, and recovers from a copied archive without any server', async t => {
  const tree = join(site.folder, 'tree')
  makeTree(tree, 1, 12_000_000)
  const home = await site.pair('ann')
  t.is(statSync(home).mode & 0o777, 0o700)

  const first = await site.agentJson<Backup>(home, 'backup', tree)
  t.deepEqual([first.sequence, first.unreadable], [1, []])
  const again = await site.agentJson<Backup>(home, 'backup')
  t.deepEqual([again.sequence, again.read_bytes], [2, 0])
  t.true(again.sent_bytes < 4096, `${again.sent_bytes}`)

  const changed = join(tree, 'odd/ünïcödé 🗄')
  writeFileSync(changed, 'other text')
  rmSync(join(tree, 'odd/hard again'))
  const third = await site.agentJson<Backup>(home, 'backup')
  t.is(third.sequence, 3)

  const back = join(site.folder, 'back')
  const restored = await site.agentJson<{ verified: boolean; files: number }>(home, 'restore', '--to', back)
  t.true(restored.verified)
  t.deepEqual(compareFolders(tree, join(back, tree), nothing).differences, [])

  const older = join(site.folder, 'older')
  await site.agentJson(home, 'restore', '--at', first.snapshot, '--to', older)
  t.is(readFileSync(join(older, changed), 'utf8'), 'text')
  t.true(existsSync(join(older, tree, 'odd/hard again')))

  const status = await site.agentJson<{
    archive: string
    authorized: boolean
    last_snapshot: { sequence: number; snapshot: string }
    authority: string
    storage: string
    backup_set: { paths: string[] }
  }>(home, 'status')
  t.like(status, { authorized: true, authority: site.authority, storage: site.storage })
  t.like(status.last_snapshot, { sequence: 3, snapshot: third.snapshot })
  t.deepEqual(status.backup_set.paths, [tree])
  await site.agentJson(home, 'verify', '--read-data')

  const key = join(site.folder, 'ann.key')
  await site.agentJson(home, 'key', 'export', '--to', key)
  t.is(statSync(key).mode & 0o777, 0o600)
  t.regex((await site.agent(home, 'key', 'export', '--to', key)).err, /^FILE_EXISTS: /)

  const copy = join(site.folder, 'copy')
  cpSync(join(site.home, 'storage/archives', status.archive), copy, { recursive: true })
  const recovered = join(site.folder, 'recovered')
  const ended = await holdfast(['recover', '--archive', copy, '--key-file', key, '--to', recovered, '--json'])
  t.is(ended.code, 0, ended.err)
  t.deepEqual(compareFolders(tree, join(recovered, tree), nothing).differences, [])
})

test.serial('nothing that is stored at the appliance shows a name or a content', async t => {
  const names = [Buffer.from('directory 0'), Buffer.from('not UTF-8'), Buffer.from('the same file')]
  for (const file of readdirSync(join(site.home, 'storage'), { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue
    const bytes = readFileSync(join(file.parentPath, file.name))
    for (const name of names) t.false(bytes.includes(name), `${file.name} has ${name.toString()}`)
  }
})

test.serial('an agent that is paired is not paired again, and one that was unpaired has nothing left', async t => {
  const home = await site.pair('bob')
  const link = await site.link()
  const twice = await holdfast(['pair', link, '--home', home, '--password-file', '-'], { input: `${PASSWORD}\n` })
  t.is(twice.code, 1)
  t.regex(twice.err, /^ALREADY_PAIRED: [^\n]*\n$/)
  t.deepEqual(await site.agentJson(home, 'unpair'), { unpaired: true, told: true })
  t.deepEqual(
    readdirSync(home).filter(name => name !== 'protector' || readdirSync(join(home, name)).length > 0),
    [],
  )
  t.regex((await site.agent(home, 'snapshots')).err, /^NOT_PAIRED: /)
  // The link was not used by the pairing that was refused.
  t.is((await holdfast(['pair', link, '--home', home, '--password-file', '-'], { input: `${PASSWORD}\n` })).code, 0)
})
