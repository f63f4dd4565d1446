// What an authority's memory holds after a fetch: looked at from outside, all of it.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import test from 'ava'
import { writeConnection } from '#keystore-client/connection.ts'
import { countInMemory } from '../../process-memory.ts'
import { newEscrow, newFacts, startProvisioned, TENANT } from './provisioned.ts'

const site = await startProvisioned()
test.after.always(() => site.close())

test('after a fetch W is in the process once, in secure memory, and after it was wiped not at all, in no form', async t => {
  const file = `${site.folder}/connection.json`
  writeConnection(file, site.connection)
  const escrow = await newEscrow(site)
  await site.keystore.escrow(TENANT, escrow.slot, escrow.kid, escrow.sealed)
  const { opened } = await site.keystore.openOwn(TENANT, escrow.slot, escrow.kid, newFacts())
  const base64 = opened.toString('base64')
  const wanted = {
    bytes: opened.subarray(0, 32),
    base64: Buffer.from(base64.slice(2, 42)),
    wide: Buffer.from(base64.slice(2, 42), 'utf16le'),
    hex: Buffer.from(opened.toString('hex').slice(0, 64)),
  }
  const child = spawn(process.execPath, [`${import.meta.dirname}/memory-child.ts`], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  child.stdin.write(`${JSON.stringify({ file, tenant: TENANT, slot: escrow.slot, kid: escrow.kid, facts: newFacts() })}\n`)
  t.is((await lines.next()).value, 'opened')
  t.deepEqual(countInMemory(child.pid ?? 0, wanted), { bytes: 1, base64: 0, wide: 0, hex: 0 })
  child.stdin.write('\n')
  t.is((await lines.next()).value, 'wiped')
  t.deepEqual(countInMemory(child.pid ?? 0, wanted), { bytes: 0, base64: 0, wide: 0, hex: 0 })
})
