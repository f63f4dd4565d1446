// The archive is a function of snapshot, paths and format, so a download that broke off goes on where it ended.
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import test from 'ava'
import type { Outcome } from '#worker/start-worker.ts'
import { sampleArchive } from './sample.ts'
import { forged, startWorkerSite } from './worker-site.ts'

const MiB = 1024 * 1024

const archive = await sampleArchive()
const site = await startWorkerSite(archive)
test.after.always(() => site.close())

for (const format of ['tar', 'zip'] as const) {
  test(`the same restore gives the same ${format}, as long as it was said to be, and the rest of it from any byte on`, async t => {
    const { bytes, outcome } = await site.restore({ format })
    t.deepEqual(outcome, { kind: 'done' })
    const again = site.start({ format })
    const begun = await again.begun
    again.abort()
    t.is(bytes.length, begun.bytes)
    const cuts = [0, 1, 512, bytes.length - 1, bytes.length, ...Array.from({ length: 10 }, () => randomInt(bytes.length))]
    t.log(`cut at ${cuts.join(' ')}`)
    for (const from_bytes of cuts) {
      const rest = await site.restore({ format, snapshot: begun.snapshot, resume: { from_bytes, crcs: '' } })
      t.deepEqual(rest.outcome, { kind: 'done' })
      t.true(rest.bytes.equals(bytes.subarray(from_bytes)), `from ${from_bytes}`)
    }
  })
}

/** Reads so many bytes, then ends the restore. */
async function interrupted(format: 'tar' | 'zip', bytes: number): Promise<{ came: Buffer; outcome: Outcome; snapshot: string }> {
  const running = site.start({ format })
  const { snapshot } = await running.begun
  const parts: Buffer[] = []
  let received = 0
  running.output.on('error', () => {})
  running.output.on('data', (part: Buffer) => {
    parts.push(part)
    received += part.length
    if (received < bytes) return
    running.output.pause()
    running.abort()
  })
  const outcome = await running.outcome
  running.output.destroy()
  if (!running.output.closed) await once(running.output, 'close')
  return { came: Buffer.concat(parts), outcome, snapshot }
}

test('a restore that goes on does not read what came: not for a tar, nor for a ZIP whose checksums were told', async t => {
  const whole = { tar: (await site.restore({ format: 'tar' })).bytes, zip: (await site.restore({ format: 'zip' })).bytes }
  // Into the second stretch: then the checksums of the first were told.
  const tar = await interrupted('tar', 16 * MiB + 1000)
  const zip = await interrupted('zip', 16 * MiB + 1000)
  const crcs = zip.outcome.kind === 'failed' ? zip.outcome.crcs : ''
  t.like(zip.outcome, { kind: 'failed', failed: { code: 'RESTORE_ABORTED' } })
  t.true(crcs.length > 1000)
  // The same archive, but the first file and a part of the large one do not open any more.
  const large = archive.blocksOf('b/large')
  const damaged = new Set([archive.blocksOf('a/small 100')[0], large[1]])
  const records = [...archive.records].map(([name, record]) => (damaged.has(name) ? forged(record) : record))
  const bad = await startWorkerSite(archive, records)
  t.teardown(() => bad.close())
  t.like((await bad.restore({ format: 'tar' })).outcome, { failed: { code: 'RECORD_DAMAGED' } })
  for (const [format, { came, snapshot }, known] of [
    ['tar', tar, ''],
    ['zip', zip, crcs],
  ] as const) {
    const rest = await bad.restore({ format, snapshot, resume: { from_bytes: came.length, crcs: known } })
    t.deepEqual(rest.outcome, { kind: 'done' }, format)
    t.true(Buffer.concat([came, rest.bytes]).equals(whole[format]), format)
  }
  const without = await bad.restore({ format: 'zip', snapshot: zip.snapshot, resume: { from_bytes: zip.came.length, crcs: '' } })
  t.like(without.outcome, { failed: { code: 'RECORD_DAMAGED' } }, 'without them, all is read again')
})

test('a restore does not go on from beyond its end, nor with whatever snapshot is the newest', async t => {
  t.like((await site.restore({ resume: { from_bytes: 5, crcs: '' } })).outcome, { failed: { code: 'RESUME_INVALID' } })
  const running = site.start()
  const { snapshot, bytes } = await running.begun
  running.abort()
  t.like((await site.restore({ snapshot, resume: { from_bytes: bytes + 1, crcs: '' } })).outcome, { failed: { code: 'RESUME_INVALID' } })
})
