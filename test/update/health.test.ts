import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { checkHealth, waitUntilHealthy } from '../../image/update/health.ts'
import { freePort, startSite } from '../site/site.ts'

const site = await startSite()
test.after.always(() => site.close())
const archives = join(site.home, 'storage/archives')

test.serial('a site without archives is healthy when storage node and authority answer', async t => {
  await t.notThrowsAsync(checkHealth(site.home))
})

test.serial('a site is healthy when an archive opens, and only then', async t => {
  const home = await site.pair('ann')
  const tree = join(site.folder, 'tree')
  mkdirSync(tree)
  writeFileSync(join(tree, 'file'), 'content')
  await site.agentJson(home, 'backup', tree)
  const [name = ''] = readdirSync(archives)
  await t.notThrowsAsync(checkHealth(site.home))
  // As a release that cannot read what is there: the storage node answers, the archive does not open.
  await site.stop()
  renameSync(join(archives, name), join(site.folder, 'kept'))
  writeFileSync(join(archives, name), '')
  await site.start()
  t.regex((await t.throwsAsync(checkHealth(site.home))).message, /^NOT_HEALTHY: .*an archive/)
  await site.stop()
  rmSync(join(archives, name))
  renameSync(join(site.folder, 'kept'), join(archives, name))
  await site.start()
  await t.notThrowsAsync(checkHealth(site.home))
})

test.serial('a release whose services do not answer has its time, and no more', async t => {
  await site.stop()
  t.regex((await t.throwsAsync(waitUntilHealthy(site.home, 10))).message, /^NOT_HEALTHY: .*the authority/)
  const healthy = waitUntilHealthy(site.home, 60_000)
  await site.start()
  await t.notThrowsAsync(healthy)
})

test('a machine without a site is not healthy when set-up does not answer', async t => {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-no-site-'))
  t.teardown(() => rmSync(home, { recursive: true }))
  t.regex((await t.throwsAsync(checkHealth(home, await freePort()))).message, /^NOT_HEALTHY: .*set-up/)
})
