// A keystore that answers and gives nothing out: what a person at a new device reads then, and that it passes by itself.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { writeConnection } from '#keystore-client/connection.ts'
import { startProvisioned } from '../keystore/client/provisioned.ts'
import { mountSmallDisks } from '../keystore/client/small-disks.ts'
import { peopleOf } from './people.ts'
import { startSite } from './site.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-keystore-trouble-'))
const disks = mountSmallDisks(join(folder, 'keystore'))
const keystore = await startProvisioned({ folder: join(folder, 'keystore'), tenants: ['default'] })
const connectionFile = join(folder, 'keystore.json')
writeConnection(connectionFile, keystore.connection)
const site = await startSite({ folder: join(folder, 'site'), keystore: connectionFile })
const people = peopleOf(site, folder)
test.after.always(async () => {
  await site.close()
  await keystore.cluster.stop()
  disks?.unmount()
  await keystore.close()
  rmSync(folder, { recursive: true, force: true })
})

const tree = join(folder, 'tree')
mkdirSync(tree)
writeFileSync(join(tree, 'letter'), 'what must not be lost')
const opened = (): number => readFileSync(join(site.home, 'authority', 'audit.log'), 'utf8').split('"act":"key.opened"').length - 1

/** A new device gets no key, and is told why; the first one goes on; afterwards the new one has its key. */
async function givesNothing(t: ExecutionContext, name: string, code: string, end: () => Promise<void>): Promise<void> {
  const before = opened()
  const { home, key } = await people.paired('ann', name)
  t.is(key, 'waiting')
  const ended = await site.agent(home, 'backup', tree)
  t.is(ended.code, 5)
  t.regex(ended.err, new RegExp(`^KEYSTORE_AWAY: .*${code}`, 'm'))
  await site.agentJson(join(folder, 'ann-1'), 'backup', tree)
  t.is(opened(), before)
  await end()
  await site.agentJson(home, 'backup', tree)
  t.deepEqual(await people.keyLines(home), await people.keyLines(join(folder, 'ann-1')))
}

test.serial('with the keystore sealed a new device is told so, and has its key once it is unsealed', async t => {
  await people.slotsReady()
  const { home } = await people.paired('ann', 'ann-1')
  await site.agentJson(home, 'backup', tree)
  await people.untilSafe(home)
  const [node] = keystore.cluster.nodes
  await node?.seal()
  await givesNothing(t, 'ann-2', 'KEYSTORE_SEALED: the keystore is sealed', async () => {
    await node?.unseal()
    await keystore.cluster.active()
  })
})

const title = "with the keystore's audit disks full a new device is told so and no key is given out; with room on one it has its key"
if (!disks) test.skip(`${title} (needs the right to mount a tmpfs)`, () => {})
else
  test.serial(title, async t => {
    const free = disks.fill()
    // A line that is torn at the very end of the disk may still have gone through.
    await keystore.keystore.isEscrowed('default', `s-${'0'.repeat(32)}`, `1-${'0'.repeat(32)}`).catch(() => {})
    await givesNothing(t, 'ann-3', 'KEYSTORE_AUDIT_FAILED: the keystore cannot write its audit log, so it gives nothing out', async () => free[0]?.())
  })
