// Releasing a restore for somebody else, by people with sign-ins of their own at a real keystore.
import { performance } from 'node:perf_hooks'
import test from 'ava'
import { openApprover } from '#keystore-client/approval.ts'
import { addApprover } from '#keystore-provision/approvers.ts'
import { newEscrow, newFacts, opensKey, startProvisioned, TENANT } from './provisioned.ts'

const PASSWORD = 'a password for tests'
/** A fault of the node is tried again for ten seconds. */
const AT_ONCE_MS = 5_000

const site = await startProvisioned()
for (const name of ['otto', 'iris']) await addApprover(site.admin, TENANT, name, PASSWORD)
const escrow = await newEscrow(site)
await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
test.after.always(() => site.close())

test('who releases what they released before is told so at once, and it stays released', async t => {
  const asked = await site.keystore.askRestore(TENANT, escrow.slot, escrow.kid, { jti: newFacts().jti, asker: 'bob' })
  const approver = await openApprover(site.transport, TENANT, 'otto', PASSWORD)
  await approver.release(asked.accessor)
  const begun_ms = performance.now()
  await t.throwsAsync(approver.release(asked.accessor), { code: 'APPROVAL_GIVEN' })
  t.true(performance.now() - begun_ms < AT_ONCE_MS)
  t.true(opensKey((await asked.fetch()).opened, escrow))
  await approver.close()
})

test('nobody releases what they asked for, nor what nobody asked for', async t => {
  const asked = await site.keystore.askRestore(TENANT, escrow.slot, escrow.kid, { jti: newFacts().jti, asker: 'iris' })
  const approver = await openApprover(site.transport, TENANT, 'iris', PASSWORD)
  await t.throwsAsync(approver.release(asked.accessor), { code: 'APPROVAL_OWN' })
  await t.throwsAsync(asked.fetch(), { code: 'APPROVAL_MISSING' })
  await t.throwsAsync(approver.release('AtnY9qagTCsmP8syEdTEtYRx'), { code: 'APPROVAL_UNKNOWN' })
  await approver.close()
  await asked.giveUp()
})
