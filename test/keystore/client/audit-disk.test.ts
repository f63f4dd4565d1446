// Audit disks that are full: the real server on two small disks of its own.
import { rmSync } from 'node:fs'
import test from 'ava'
import { newEscrow, newFacts, newFolder, opensKey, startProvisioned, TENANT } from './provisioned.ts'
import { mountSmallDisks } from './small-disks.ts'

const folder = newFolder()
const disks = mountSmallDisks(folder)
test.after.always(() => {
  disks?.unmount()
  rmSync(folder, { recursive: true, force: true })
})
const title = 'with both audit disks full nothing is given out or stored and the fault says why; with one free it goes on'
if (!disks) test.skip(`${title} (needs the right to mount a tmpfs)`, () => {})
else
  test(title, async t => {
    const site = await startProvisioned({ folder })
    t.teardown(async () => {
      // The folder cannot go while the disks are there.
      await site.cluster.stop()
      disks.unmount()
      await site.close()
    })
    const { keystore } = site
    const [kept, late] = [await newEscrow(site), await newEscrow(site)]
    await keystore.escrow(TENANT, kept.slot, kept.kid, kept.sealed)
    const free = disks.fill()
    // A line that is torn at the very end of the disk may still have gone through.
    await keystore.isEscrowed(TENANT, kept.slot, kept.kid).catch(() => {})

    await t.throwsAsync(keystore.openOwn(TENANT, kept.slot, kept.kid, newFacts()), { code: 'KEYSTORE_AUDIT_FAILED' })
    await t.throwsAsync(keystore.isEscrowed(TENANT, kept.slot, kept.kid), { code: 'KEYSTORE_AUDIT_FAILED' })
    await t.throwsAsync(keystore.escrow(TENANT, late.slot, late.kid, late.sealed), { code: 'KEYSTORE_AUDIT_FAILED' })
    t.deepEqual(
      (await keystore.state()).map(({ state }) => state),
      ['audit-full'],
    )

    free[0]?.()
    t.true(opensKey((await keystore.openOwn(TENANT, kept.slot, kept.kid, newFacts())).opened, kept))
    t.true(['stored', 'there'].includes(await keystore.escrow(TENANT, late.slot, late.kid, late.sealed)))
    t.true(opensKey((await keystore.openOwn(TENANT, late.slot, late.kid, newFacts())).opened, late))
    t.deepEqual(
      (await keystore.state()).map(({ state }) => state),
      ['active'],
    )
  })
