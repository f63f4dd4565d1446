// What an authority's memory holds after a fetch: looked at from outside, all of it.
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { createInterface } from 'node:readline'
import test from 'ava'
import { writeConnection } from '#keystore-client/connection.ts'
import { newEscrow, newFacts, startProvisioned, TENANT } from './provisioned.ts'

const site = await startProvisioned()
test.after.always(() => site.close())

const PART_BYTES = 16 * 1024 * 1024

/** How often each of these is in the memory of a process. */
function countIn(pid: number, wanted: Readonly<Record<string, Buffer>>): Record<string, number> {
  const counts = Object.fromEntries(Object.keys(wanted).map(name => [name, 0]))
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
    const [, from = '', to = '', rights = ''] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? []
    if (!rights.startsWith('rw')) continue
    const [begin, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)]
    for (let at = begin; at < end; at += PART_BYTES) {
      const part = Buffer.alloc(Math.min(PART_BYTES + 128, end - at))
      try {
        part.fill(0, readSync(memory, part, 0, part.length, at))
      } catch {
        continue
      }
      for (const [name, bytes] of Object.entries(wanted)) {
        for (let found = part.indexOf(bytes); found >= 0 && found < PART_BYTES; found = part.indexOf(bytes, found + 1)) counts[name] = (counts[name] ?? 0) + 1
      }
    }
  }
  closeSync(memory)
  return counts
}

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
  t.deepEqual(countIn(child.pid ?? 0, wanted), { bytes: 1, base64: 0, wide: 0, hex: 0 })
  child.stdin.write('\n')
  t.is((await lines.next()).value, 'wiped')
  t.deepEqual(countIn(child.pid ?? 0, wanted), { bytes: 0, base64: 0, wide: 0, hex: 0 })
})
