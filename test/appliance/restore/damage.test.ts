// Whatever goes wrong is said with a code, and what came of the archive is visibly incomplete.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { startContentHash } from '#format/content-hash.ts'
import { createKeyRing } from '#format/keys.ts'
import { isFault } from '#protocol/fault.ts'
import type { Order } from '#worker/messages.ts'
import { createTestArchive, type FileSpec, file } from '../../agent/restore/archive.ts'
import { hasProgram } from '../../programs.ts'
import { sampleArchive } from './sample.ts'
import { forged, startWorkerSite, type WorkerSite } from './worker-site.ts'

const FORMATS = ['tar', 'zip'] as const

// The same archive twice: whole, and with some blocks that do not open.
const archive = await sampleArchive()
const bad = new Set([archive.blocksOf('a/small 100')[0], archive.blocksOf('b/large')[17], archive.blocksOf('b/sparse')[3]])
const records = [...archive.records].map(([name, record]) => (bad.has(name) ? forged(record) : record))
const [whole, damaged] = [await startWorkerSite(archive), await startWorkerSite(archive, records)]
test.after.always(() => Promise.all([whole.close(), damaged.close()]))

for (const format of FORMATS) {
  for (const [what, path] of [
    ['small files', 'a'],
    ['a large file', 'b/large'],
    ['a file with holes', 'b/sparse'],
  ] as const) {
    test(`a damaged block of ${what} ends a ${format} before anything wrong of it is sent, and the file is named to who asked`, async t => {
      const running = damaged.start({ format, paths: [path] })
      const parts: Buffer[] = []
      const error = await (async () => {
        for await (const part of running.output as AsyncIterable<Buffer>) parts.push(part)
      })().catch((thrown: unknown) => thrown)
      t.true(isFault(error, 'RESTORE_INCOMPLETE'))
      const outcome = await running.outcome
      t.like(outcome, { kind: 'failed', failed: { code: 'RECORD_DAMAGED', exit: 6 } })
      if (outcome.kind === 'failed') {
        const named = String(outcome.failed.facts['path'])
        t.true(named.startsWith(`/${path}`))
        t.false(outcome.failed.message.includes(named), 'names do not go into messages')
      }
      const bytes = Buffer.concat(parts)
      t.true(bytes.length < (await running.begun).bytes)
      t.true((await whole.restore({ format, paths: [path] })).bytes.subarray(0, bytes.length).equals(bytes), 'what came is right')
      assertIncomplete(t, `${what}.${format}`, bytes)
    })
  }

  test(`a page of a ${format} that does not open is met before the first byte`, async t => {
    const { site } = await siteOf(t, [file('one', 'one'), file('two', 'two')], 1)
    const { bytes, outcome } = await site.restore({ format })
    t.like(outcome, { kind: 'failed', failed: { code: 'RECORD_DOES_NOT_OPEN', exit: 6 } })
    t.is(bytes.length, 0)
  })
}

/** What came is refused as a whole by who reads it: no end, no directory. */
function assertIncomplete(t: ExecutionContext, name: string, bytes: Buffer): void {
  if (name.endsWith('.tar')) {
    t.false(bytes.subarray(-1024).every(byte => byte === 0) && bytes.length > 0)
    return
  }
  const path = join(whole.folder, name)
  writeFileSync(path, bytes)
  if (hasProgram('unzip')) t.not(spawnSync('unzip', ['-t', path]).status, 0)
  t.not(spawnSync('python3', ['-c', 'import sys, zipfile; zipfile.ZipFile(sys.argv[1])', path]).status, 0)
}

/** A site with an archive of these files, a page for each; one of the pages does not open. */
async function siteOf(t: ExecutionContext, files: readonly FileSpec[], badPage?: number): Promise<{ site: WorkerSite }> {
  const own = createTestArchive()
  const { pages } = await own.add(files, { breaks: files.map(({ path }) => path) })
  const name = badPage === undefined ? undefined : pages[badPage]?.toString('latin1')
  const site = await startWorkerSite(
    own,
    [...own.records].map(([id, record]) => (id === name ? forged(record) : record)),
  )
  t.teardown(() => site.close())
  return { site }
}

test('content that does not have the hash of its entry is not sent', async t => {
  const other = startContentHash(archive.keys, 3)
  other.update(Buffer.from('abc'))
  const content = other.digest()
  const sizes = [
    ['small', 1000],
    ['medium', 900_000],
    ['large', 2_000_000],
  ] as const
  const { site } = await siteOf(
    t,
    sizes.map(([name, size]) => file(name, Buffer.alloc(size, name), { content })),
  )
  for (const [name] of sizes) {
    for (const format of FORMATS) {
      const { bytes, outcome } = await site.restore({ format, paths: [name] })
      t.like(outcome, { kind: 'failed', failed: { code: 'CONTENT_MISMATCH', exit: 6, facts: { path: `/${name}` } } })
      t.is(bytes.length, 0)
    }
  }
})

test('a wrong key, path, snapshot, address or order is said with its code, before the first byte', async t => {
  const ring = createKeyRing()
  const other = whole.seal(ring)
  ring.wipe()
  const cases: [Partial<Order>, string, Buffer?][] = [
    [{ escrow: other.escrow }, 'RECORD_DOES_NOT_OPEN', Buffer.from(other.opened)],
    [{ escrow: { ...other.escrow, slot: `s-${'00'.repeat(16)}` } }, 'SEALED_KEY_DOES_NOT_OPEN', Buffer.from(other.opened)],
    [{}, 'SEALED_KEY_DOES_NOT_OPEN', Buffer.alloc(64)],
    [{}, 'ORDER_INVALID', Buffer.alloc(20_000)],
    [{ paths: ['b', 'not/there'] }, 'PATH_NOT_IN_SNAPSHOT'],
    [{ snapshot: 'ab'.repeat(32) }, 'SNAPSHOT_UNKNOWN'],
    [{ archive: '00'.repeat(16) }, 'TICKET_NOT_FOR_THIS'],
    [{ storage: 'http://127.0.0.1:1' }, 'ORDER_INVALID'],
    [{ snapshot: 'newest; rm' as 'newest' }, 'ORDER_INVALID'],
    [{ paths: ['☃'] }, 'ORDER_INVALID'],
  ]
  for (const [order, code, opened] of cases) {
    const running = whole.start(order, opened ? { opened } : {})
    running.output.on('error', () => {})
    await t.throwsAsync(running.begun, { message: new RegExp(code) }, code)
    t.like(await running.outcome, { kind: 'failed', failed: { code } })
  }
})

test('what was chosen is restored, and nothing else', async t => {
  const path = await whole.restoreTo('some.tar', { paths: ['b/symlink', 'a/small 007', 'c'] })
  t.is(spawnSync('tar', ['-tf', path], { encoding: 'utf8' }).stdout, 'a/small 007\nb/symlink\nc\n')
})
