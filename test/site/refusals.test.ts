// What is refused before anything is touched: a second site in one home, stores of a newer version, a port that is taken,
// the key of somebody else.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { startSite } from './site.ts'
import { makeTree } from './tree.ts'

const site = await startSite()
test.after.always(() => site.close())
const run = (home: string): Promise<Ended> => holdfast(['run', '--home', home], { launcher: 'holdfast-appliance' })

test.serial('a site is not made twice in one home', async t => {
  const before = readFileSync(join(site.home, 'config.json'))
  const twice = await holdfast(['init', '--home', site.home, '--keystore', 'none'], { launcher: 'holdfast-appliance' })
  t.is(twice.code, 1)
  t.regex(twice.err, /^SITE_EXISTS: [^\n]*\n$/)
  t.deepEqual(readFileSync(join(site.home, 'config.json')), before)
})

test.serial('an appliance that runs is not run twice, nor on a port that is taken', async t => {
  t.not((await run(site.home)).code, 0)
  await site.stop()
  const port = Number(new URL(site.storage).port)
  const other = createServer()
  await new Promise<void>(resolve => other.listen(port, '127.0.0.1', resolve))
  const taken = await run(site.home)
  t.is(taken.code, 1, taken.err)
  t.regex(taken.err, /PORT_IN_USE: /)
  await new Promise(resolve => other.close(resolve))
  await site.start()
})

test.serial('an appliance of a newer version is not touched', async t => {
  const home = join(site.folder, 'newer')
  await site.stop()
  cpSync(site.home, home, { recursive: true, filter: path => !path.endsWith('.sock') })
  const config = join(home, 'config.json')
  writeFileSync(config, JSON.stringify({ ...(JSON.parse(readFileSync(config, 'utf8')) as object), version: 99 }))
  const state = join(home, 'authority')
  const before = readdirSync(state, { recursive: true })
  const newer = await run(home)
  await site.start()
  t.is(newer.code, 1)
  t.regex(newer.err, /STATE_NEWER: /)
  t.deepEqual(readdirSync(state, { recursive: true }), before)
})

test.serial("somebody else's key file opens nothing and writes nothing", async t => {
  const homes = [await site.pair('one'), await site.pair('two')]
  const tree = join(site.folder, 'tree')
  makeTree(tree, 3, 1_000_000)
  for (const home of homes) await site.agentJson(home, 'backup', tree)
  const { archive } = await site.agentJson<{ archive: string }>(homes[0] ?? '', 'status')
  const key = join(site.folder, 'two.key')
  await site.agentJson(homes[1] ?? '', 'key', 'export', '--to', key)
  const to = join(site.folder, 'nothing')
  const wrong = await holdfast(['recover', '--archive', join(site.home, 'storage/archives', archive), '--key-file', key, '--to', to])
  t.is(wrong.code, 4, wrong.err)
  t.regex(wrong.err, /^KEY_[A-Z_]+: [^\n]*\n$/)
  t.false(readdirSync(site.folder).includes('nothing'))
})
