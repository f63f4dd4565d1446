// Past the limits of the old formats: sizes and offsets over 32 bits, over what octal digits can say, more entries than 16 bits count.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type FileEntry, isFile } from '#worker/parts.ts'
import { TAR_END, tarEntry } from '#worker/tar.ts'
import { createTestArchive, directory, file } from '../../agent/restore/archive.ts'
import { hasProgram, needing } from '../../programs.ts'
import { zipEntries } from './extracted.ts'
import { startWorkerSite, type WorkerSite } from './worker-site.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB

const withUnzip = (title: string, run: (t: ExecutionContext) => Promise<void>): void => {
  if (hasProgram('unzip')) test(title, run)
  else test.skip(needing(title, 'unzip'), run)
}

withUnzip('a ZIP with a file over 4 GiB, and one behind it, is read by unzip and Python', async t => {
  const own = createTestArchive()
  const last = randomBytes(100_000)
  const hole: [number, number] = [2 * MiB, 4 * GiB]
  await own.add([file('a huge one', randomBytes(3 * MiB), { holes: [hole] }), file('behind it', last)])
  const site = await startWorkerSite(own)
  t.teardown(() => site.close())
  const path = join(site.folder, 'huge.zip')
  await writeSparse(site, path)
  const entries = zipEntries(path, false)
  t.is(entries['a huge one']?.[0], 4 * GiB + 3 * MiB)
  t.is(entries['behind it']?.[0], last.length)
  t.true(execFileSync('unzip', ['-p', path, 'behind it']).equals(last))
})

/** Runs of zeros become holes, so that the disk need not hold them. */
async function writeSparse(site: WorkerSite, path: string): Promise<void> {
  const running = site.start({ format: 'zip' })
  const fd = openSync(path, 'w')
  const zeros = Buffer.alloc(MiB)
  let at = 0
  for await (const part of running.output as AsyncIterable<Buffer>) {
    if (!part.equals(zeros.subarray(0, part.length))) writeSync(fd, part, 0, part.length, at)
    at += part.length
  }
  ftruncateSync(fd, at)
  closeSync(fd)
}

withUnzip('a ZIP of more than 65,535 entries is read by unzip and Python', async t => {
  const own = createTestArchive()
  await own.add([directory('d'), ...Array.from({ length: 70_000 }, (_, i) => file(`d/${i}`, ''))])
  const site = await startWorkerSite(own)
  t.teardown(() => site.close())
  const path = await site.restoreTo('many.zip', { format: 'zip' })
  t.is(Object.keys(zipEntries(path)).length, 70_001)
  t.is(
    execFileSync('unzip', ['-Z', '-1', path], { encoding: 'utf8', maxBuffer: 2 ** 24 })
      .trim()
      .split('\n').length,
    70_001,
  )
})

const entry = (more: Partial<FileEntry> & { path: string }): FileEntry => ({
  mode: 0o100640,
  uid: 1000,
  gid: 1000,
  user: 'ann',
  group: 'users',
  size: more.stored_bytes ?? 0,
  stored_bytes: 0,
  mtime_ns: 1_700_000_000_000_000_000n,
  content: undefined,
  target: undefined,
  rdev: undefined,
  xattrs: undefined,
  holes: undefined,
  linkTo: undefined,
  ...more,
})

/** A tar of these entries whose content is zeros. */
function tarOf(t: ExecutionContext, entries: readonly FileEntry[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-tar-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'made.tar')
  const fd = openSync(path, 'w')
  let at = 0
  for (const one of entries) {
    const { header, bytes } = tarEntry(one)
    writeSync(fd, header(), 0, undefined, at)
    if (!isFile(one)) t.is(header().length, bytes)
    at += bytes
  }
  writeSync(fd, TAR_END, 0, undefined, at)
  closeSync(fd)
  return path
}

const PYTHON_LIST = `
import json, sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    print(json.dumps([[m.name, m.size, m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime, m.linkname, m.devmajor, m.devminor] for m in archive]))
`

test('a tar says sizes over 8 GiB, large ids, long names and strange times so that GNU tar and Python read them', t => {
  const long = `${'d'.repeat(120)}/${'f'.repeat(120)}`
  const path = tarOf(t, [
    entry({ path: 'huge', stored_bytes: 9 * GiB }),
    entry({ path: 'huge and sparse', size: 30 * GiB, stored_bytes: 10 * GiB, holes: [[5 * GiB, 20 * GiB]] }),
    entry({ path: 'ids', uid: 3_000_000, gid: 4_000_000_000 }),
    entry({ path: 'names', user: 'u'.repeat(40), group: Buffer.from('grüppe').toString('latin1') }),
    entry({ path: long, mode: 0o120777, target: 't'.repeat(101) }),
    entry({ path: 'device', mode: 0o020600, rdev: [4000, 16_000_000] }),
    entry({ path: 'future', mtime_ns: 100_000_000_000_500_000_000n }),
    entry({ path: 'past', mtime_ns: -62_135_596_800_250_000_000n }),
    entry({ path: 'end' }),
  ])
  const rows = JSON.parse(execFileSync('python3', ['-c', PYTHON_LIST, path], { encoding: 'utf8' })) as unknown[][]
  const plain = [0o640, 1000, 1000, 'ann', 'users', 1_700_000_000, '', 0, 0]
  t.deepEqual(rows, [
    ['huge', 9 * GiB, ...plain],
    ['huge and sparse', 30 * GiB, ...plain],
    ['ids', 0, 0o640, 3_000_000, 4_000_000_000, 'ann', 'users', 1_700_000_000, '', 0, 0],
    ['names', 0, 0o640, 1000, 1000, 'u'.repeat(40), 'grüppe', 1_700_000_000, '', 0, 0],
    [long, 0, 0o777, 1000, 1000, 'ann', 'users', 1_700_000_000, 't'.repeat(101), 0, 0],
    ['device', 0, 0o600, 1000, 1000, 'ann', 'users', 1_700_000_000, '', 4000, 16_000_000],
    ['future', 0, 0o640, 1000, 1000, 'ann', 'users', 100_000_000_000.5, '', 0, 0],
    ['past', 0, 0o640, 1000, 1000, 'ann', 'users', -62_135_596_800.25, '', 0, 0],
    ['end', 0, ...plain],
  ])
  const listed = execFileSync('tar', ['-tvf', path, '--numeric-owner', '--full-time'], { encoding: 'utf8', env: { ...process.env, TZ: 'UTC' } })
  for (const wanted of [
    `1000/1000${' '.repeat(4)}`,
    `${9 * GiB}`,
    `${30 * GiB}`,
    '3000000/4000000000',
    `${long} -> ${'t'.repeat(101)}`,
    '4000,16000000',
    '5138-11-16 09:46:40.5 future',
    'end',
  ])
    t.true(listed.includes(wanted.trim()), `${wanted} in ${listed}`)
})
