// Audit disks that are full: the real server on two small disks of its own.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { FILES } from '#keystore-server/configuration.ts'
import { newEscrow, newFacts, newFolder, opensKey, startProvisioned, TENANT } from './provisioned.ts'

const DISK_BYTES = 16 * 1024 * 1024

const folder = newFolder()
const disks = FILES.audits.map(file => join(folder, 'n1', dirname(file)))
const unmount = (): void => {
  for (const disk of disks) {
    try {
      execFileSync('umount', ['-l', disk], { stdio: 'ignore' })
    } catch {}
  }
}

/** Whether small disks could be made. */
function mount(): boolean {
  try {
    for (const disk of disks) {
      mkdirSync(disk, { recursive: true })
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'none', disk], { stdio: 'ignore' })
    }
    return true
  } catch {
    unmount()
    return false
  }
}

/** Takes all that is left. @returns what gives it back */
function fill(disk: string): () => void {
  const file = join(disk, 'filler')
  const fd = openSync(file, 'w')
  const page = Buffer.alloc(4096)
  try {
    for (;;) writeSync(fd, page)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(fd)
  }
  if (statfsSync(disk).bavail > 0) throw new Error('not full')
  return () => rmSync(file)
}

const canMount = mount()
test.after.always(() => {
  unmount()
  rmSync(folder, { recursive: true, force: true })
})
const title = 'with both audit disks full nothing is given out or stored and the fault says why; with one free it goes on'
if (!canMount) test.skip(`${title} (needs the right to mount a tmpfs)`, () => {})
else
  test(title, async t => {
    const site = await startProvisioned({ folder })
    t.teardown(async () => {
      // The folder cannot go while the disks are there.
      await site.cluster.stop()
      unmount()
      await site.close()
    })
    const { keystore } = site
    const [kept, late] = [await newEscrow(site), await newEscrow(site)]
    await keystore.escrow(TENANT, kept.slot, kept.kid, kept.sealed)
    const free = disks.map(fill)
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
