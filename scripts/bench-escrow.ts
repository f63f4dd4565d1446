// How fast the authority's half of escrow is, against a real keystore of one node on this machine.
//   node scripts/bench-escrow.ts [--keys 600] [--fetches 60] [--slots 12] [--json]
// Escrows as the outbox hands them over (written, then confirmed); fetches one after another, as a new device does; slots
// as they are made ahead of need.
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { wipeSecureBuffer } from '#format/keys.ts'
import { sealUserKey } from '#keystore-seal/sealed-key.ts'
import { checkSlot } from '#keystore-seal/slot.ts'
import { startProvisioned, TENANT } from '../test/keystore/client/provisioned.ts'

const AT_ONCE = 16
const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '600' },
    fetches: { type: 'string', default: '60' },
    slots: { type: 'string', default: '12' },
    json: { type: 'boolean', default: false },
  },
})

const site = await startProvisioned()
try {
  const { keystore } = site
  const identity = Buffer.from(site.connection.tenants[TENANT]?.identity ?? '', 'base64')
  const newSlot = (): string => `s-${randomBytes(16).toString('hex')}`

  const slots_ms = performance.now()
  const made = []
  for (let i = 0; i < Number(values.slots); i++) {
    const slot = newSlot()
    made.push({ tenant: TENANT, slot, ...(await keystore.makeSlot(TENANT, slot)) })
  }
  const slots_per_s = made.length / ((performance.now() - slots_ms) / 1000)
  const first = made[0]
  if (!first) throw new Error('--slots must be at least 1')
  const publicKey = checkSlot(first, identity)

  const sealed = Array.from({ length: Number(values.keys) }, () => sealUserKey(randomBytes(36), { tenant: TENANT, slot: first.slot, epoch: 1 }, publicKey))
  let next = 0
  const deliver = async (): Promise<void> => {
    for (let one = sealed[next++]; one; one = sealed[next++]) {
      await keystore.escrow(TENANT, first.slot, one.kid, one.sealed_w)
      if (!(await keystore.isEscrowed(TENANT, first.slot, one.kid))) throw new Error('an escrow is not there')
    }
  }
  const escrow_ms = performance.now()
  await Promise.all(Array.from({ length: AT_ONCE }, deliver))
  const escrows_per_s = sealed.length / ((performance.now() - escrow_ms) / 1000)

  const times: number[] = []
  for (const one of sealed.slice(0, Number(values.fetches))) {
    const start_ms = performance.now()
    const { opened } = await keystore.openOwn(TENANT, first.slot, one.kid, { jti: randomBytes(16).toString('hex'), device: randomBytes(16).toString('hex') })
    times.push(performance.now() - start_ms)
    wipeSecureBuffer(opened)
  }
  times.sort((a, b) => a - b)
  const result = {
    slots_per_s: Number(slots_per_s.toFixed(1)),
    escrows_per_s: Math.round(escrows_per_s),
    fetch_median_ms: Math.round(times[times.length >> 1] ?? 0),
    fetch_longest_ms: Math.round(times.at(-1) ?? 0),
  }
  process.stdout.write(
    values.json
      ? `${JSON.stringify(result)}\n`
      : Object.entries(result)
          .map(([name, value]) => `${name.padEnd(20)}${value}\n`)
          .join(''),
  )
} finally {
  await site.close()
}
