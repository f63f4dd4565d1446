// A reader written in another language, from FORMAT.md alone, restores what this program sealed.
import { execFileSync, spawnSync } from 'node:child_process'
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createChunker } from '#format/chunker.ts'
import { hashContent, startExtentsHash } from '#format/content-hash.ts'
import { writeKeyFile } from '#format/key-file.ts'
import { pack } from '#format/pack.ts'
import { createPageBuilder, type Entry } from '#format/page.ts'
import { recordId, sealRecord } from '#format/seal.ts'
import { encodeSnapshot } from '#format/snapshot.ts'
import { encodeSnapshotClear } from '#protocol/clear-part.ts'
import { KIND, type Kind, parseRecord } from '#protocol/record.ts'
import { ARCHIVE, testKeys, testRing } from './keys-for-tests.ts'
import { seededBytes } from './seed.ts'

const STRANGER = join(import.meta.dirname, 'stranger.py')
const hasPython = spawnSync('python3', ['-c', 'import cryptography']).status === 0
const hasZstd = spawnSync('zstd', ['--version']).status === 0 || spawnSync('python3', ['-c', 'import zstandard']).status === 0
const keys = testKeys()

async function sealed(kind: Kind, plaintext: Buffer, clear: Buffer = Buffer.alloc(0), epoch = 2): Promise<Buffer> {
  return sealRecord(keys, ARCHIVE, epoch, kind, recordId(keys, kind, plaintext), clear, await pack(plaintext))
}

/** An archive directory with one snapshot of a few files; returns what should come out. */
async function makeArchive(directory: string): Promise<Map<string, Buffer>> {
  const base = {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    size: 0,
    mtime_ns: 1_700_000_000_123_456_789n,
    ctime_ns: 0n,
    ino: 1n,
    dev: 1n,
    nlink: 1,
    extents: [],
  }
  const small = Buffer.from('a small file\n')
  const text = Buffer.from('words and more words. '.repeat(900))
  const large = Buffer.concat([seededBytes(2_500_000, 7), Buffer.alloc(600_000, 'again ')])
  const together = Buffer.concat([small, text])
  const records = [await sealed(KIND.block, together)]
  const block = parseRecord(records[0] as Buffer).header.id
  const chunker = createChunker(keys.chunk)
  large.copy(chunker.memory)
  const extents: Entry['extents'] = []
  const hash = startExtentsHash(keys)
  for (let at = 0; at < large.length; ) {
    const length = chunker.nextCut(at, large.length - at, true)
    records.push(await sealed(KIND.block, large.subarray(at, at + length), undefined, 1))
    const id = parseRecord(records.at(-1) as Buffer).header.id
    extents.push({ block: id, offset: 0, length })
    hash.add(id, 0, length)
    at += length
  }
  const content = hash.digest()
  const smallEntry = { mode: 0o100640, size: small.length, content: hashContent(keys, small), extents: [{ block, offset: 0, length: small.length }] }
  const first = createPageBuilder()
  const entries: Entry[] = [
    { ...base, path: 'home', mode: 0o040755 },
    { ...base, path: 'home/big', mode: 0o100600, size: large.length, content, extents: extents.slice(0, 1) },
  ]
  for (const entry of entries) first.add(entry)
  const second = createPageBuilder()
  const holes: [number, number][] = [
    [0, 5000],
    [6000, 1000],
  ]
  for (const entry of [
    { ...base, path: 'home/big', mode: 0o100600, size: large.length, content, extents: extents.slice(1), continuation: true as const },
    { ...base, path: 'home/empty', mode: 0o100644 },
    { ...base, path: 'home/hard1', ...smallEntry, ino: 5n, nlink: 2 },
    { ...base, path: 'home/hard2', ...smallEntry, ino: 5n, nlink: 2 },
    { ...base, path: 'home/link', mode: 0o120777, target: 'hard1' },
    {
      ...base,
      path: 'home/sparse',
      mode: 0o100644,
      size: text.length + 6000,
      content: hashContent(keys, text),
      extents: [{ block, offset: small.length, length: text.length }],
      holes,
    },
    { ...base, path: 'home/sub', mode: 0o040500 },
    { ...base, path: 'home/sub/x', mode: 0o100400 },
    { ...base, path: 'home/\xff', ...smallEntry },
  ])
    second.add(entry)
  const pages: Buffer[] = []
  for (const builder of [first, second]) {
    const { plaintext, clear } = builder.finish(new Map(), new Map())
    records.push(await sealed(KIND.page, plaintext, clear))
    pages.push(parseRecord(records.at(-1) as Buffer).header.id)
  }
  const about = {
    sequence: 1,
    hostname: 'ann-laptop',
    paths: ['home'],
    start_ms: 0,
    end_ms: 1,
    agent_version: '0.1.0',
    counts: { files: 7, directories: 2, others: 1, bytes: 1 },
    unreadable: [],
  }
  records.push(await sealed(KIND.snapshot, encodeSnapshot(about), encodeSnapshotClear({ sequence: 1, previous: undefined, pages })))
  mkdirSync(directory, { recursive: true })
  // The blocks behind some damage, in a file of their own.
  writeFileSync(join(directory, '1'), Buffer.concat([Buffer.from('HFR\x01 damaged'), ...records.slice(0, 3)]))
  writeFileSync(join(directory, '2'), Buffer.concat(records.slice(3)))
  const sparse = Buffer.concat([Buffer.alloc(5000), text.subarray(0, 1000), Buffer.alloc(1000), text.subarray(1000)])
  return new Map<string, Buffer>([
    ['home/big', large],
    ['home/empty', Buffer.alloc(0)],
    ['home/hard1', small],
    ['home/hard2', small],
    ['home/sparse', sparse],
    ['home/sub/x', Buffer.alloc(0)],
  ])
}

const title = 'a stranger restores every file from FORMAT.md alone'
if (hasPython && hasZstd) {
  test(title, async t => {
    const home = mkdtempSync(join(tmpdir(), 'holdfast-stranger-'))
    t.teardown(() => rmSync(home, { recursive: true, force: true }))
    const archive = join(home, ARCHIVE)
    const expected = await makeArchive(archive)
    writeFileSync(join(home, 'key'), writeKeyFile(testRing(), { user: 'ann', tenant: 'example', made_ms: 0 }))
    const out = execFileSync('python3', [STRANGER, archive, join(home, 'key'), join(home, 'out')], { encoding: 'utf8' })
    t.is(out, 'snapshot 1 of ann-laptop: 11 entries\n')
    const target = join(home, 'out/home')
    for (const [path, content] of expected) t.true(readFileSync(join(home, 'out', path)).equals(content), path)
    t.deepEqual(readFileSync(Buffer.concat([Buffer.from(`${target}/`), Buffer.from([0xff])])), expected.get('home/hard1'))
    t.is(readlinkSync(join(target, 'link')), 'hard1')
    t.is(lstatSync(join(target, 'hard1')).ino, lstatSync(join(target, 'hard2')).ino)
    t.is(lstatSync(join(target, 'sub')).mode & 0o7777, 0o500)
    t.is(lstatSync(join(target, 'big'), { bigint: true }).mtimeNs, 1_700_000_000_123_456_789n)
    t.is(readdirSync(target).length, 8)

    const damaged = readFileSync(join(archive, '2'))
    damaged[200] = (damaged[200] ?? 0) ^ 1
    writeFileSync(join(archive, '2'), damaged)
    t.not(spawnSync('python3', [STRANGER, archive, join(home, 'key'), join(home, 'again')]).status, 0)
  })
} else {
  test.skip(`${title} (needs python3 with the package cryptography, and zstd)`, () => {})
}
