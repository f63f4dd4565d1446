import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readHoles } from '#filesystem/libc.ts'
import { createTestArchive, directory, file, symlink } from './archive.ts'
import { restoreTo, targetFolder } from './target-folder.ts'

const isRoot = process.getuid?.() === 0

test('content, modes and times of small, large and empty files come back, and those of directories', async t => {
  const archive = createTestArchive()
  const large = randomBytes(5 * 1024 * 1024 + 17)
  await archive.add([
    directory('home'),
    directory('home/ann', { mode: 0o040750, mtime_ns: 1_600_000_000_000_000_001n }),
    file('home/ann/a', 'alpha', { mode: 0o100600 }),
    file('home/ann/b', 'beta', { mtime_ns: -1_500_000_000n }),
    file('home/ann/empty', ''),
    file('home/ann/large', large),
  ])
  const to = targetFolder(t)
  const tally = await restoreTo(archive, to)
  t.deepEqual(tally.failures, [])
  t.is(tally.files, 4)
  t.is(tally.directories, 2)
  t.is(tally.written_bytes, 9 + large.length)
  t.is(readFileSync(join(to, 'home/ann/a'), 'utf8'), 'alpha')
  t.is(readFileSync(join(to, 'home/ann/b'), 'utf8'), 'beta')
  t.is(readFileSync(join(to, 'home/ann/empty'), 'utf8'), '')
  t.true(readFileSync(join(to, 'home/ann/large')).equals(large))
  t.is(statSync(join(to, 'home/ann/a')).mode & 0o7777, 0o600)
  t.is(statSync(join(to, 'home/ann')).mode & 0o7777, 0o750)
  for (const name of ['a', 'empty', 'large']) t.is(statSync(join(to, 'home/ann', name), { bigint: true }).mtimeNs, 1_700_000_000_123_456_789n, name)
  t.is(statSync(join(to, 'home/ann/b'), { bigint: true }).mtimeNs, -1_500_000_000n)
  t.is(statSync(join(to, 'home/ann'), { bigint: true }).mtimeNs, 1_600_000_000_000_000_001n)
  t.deepEqual(readdirSync(join(to, 'home/ann')).sort(), ['a', 'b', 'empty', 'large'])
})

test('a directory that may not be written to gets its mode after what is in it', async t => {
  const archive = createTestArchive()
  await archive.add([directory('locked', { mode: 0o040555 }), directory('locked/in', { mode: 0o040500 }), file('locked/in/x', 'x')])
  const to = targetFolder(t)
  t.is((await restoreTo(archive, to)).failure_count, 0)
  t.is(statSync(join(to, 'locked')).mode & 0o7777, 0o555)
  t.is(statSync(join(to, 'locked/in')).mode & 0o7777, 0o500)
})

test('symbolic links, names that are not UTF-8 and very long paths come back', async t => {
  const archive = createTestArchive()
  const strange = 'caf\xe9 \xff\n'
  const parts = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(200))
  const deep = parts.map((_, i) => directory(parts.slice(0, i + 1).join('/')))
  await archive.add([
    ...deep,
    file(`${parts.join('/')}/end`, 'deep'),
    symlink('link', '/etc/passwd'),
    symlink('dangling', 'no\xffwhere'),
    file(strange, 'bytes'),
  ])
  const to = targetFolder(t)
  const tally = await restoreTo(archive, to)
  t.deepEqual(tally.failures, [])
  t.is(readlinkSync(join(to, 'link')), '/etc/passwd')
  t.is(readlinkSync(join(to, 'dangling'), 'latin1'), 'no\xffwhere')
  t.is(lstatSync(join(to, 'link'), { bigint: true }).mtimeNs, 1_700_000_000_123_456_789n)
  t.is(readFileSync(Buffer.concat([Buffer.from(`${to}/`), Buffer.from(strange, 'latin1')]), 'utf8'), 'bytes')
  t.is(tally.files, 4)
  // The whole path is longer than the system takes at once: it is walked.
  const cwd = process.cwd()
  try {
    process.chdir(to)
    for (const part of parts) process.chdir(part)
    t.is(readFileSync('end', 'utf8'), 'deep')
  } finally {
    process.chdir(cwd)
  }
})

test('hard links come back as names of one file, across pages and windows too', async t => {
  const archive = createTestArchive()
  const linked = { ino: 7n, nlink: 3 }
  const data = randomBytes(3000)
  await archive.add(
    [
      directory('d'),
      file('d/one', data, linked),
      file('d/two', data, linked),
      directory('e'),
      file('e/three', data, linked),
      file('e/other', 'other', { ino: 8n, nlink: 2 }),
    ],
    { breaks: ['e/other'] },
  )
  const to = targetFolder(t)
  const tally = await restoreTo(archive, to)
  t.deepEqual(tally.failures, [])
  t.is(tally.files, 4)
  const inodes = ['d/one', 'd/two', 'e/three'].map(name => statSync(join(to, name)).ino)
  t.is(new Set(inodes).size, 1)
  t.is(statSync(join(to, 'd/one')).nlink, 3)
  t.true(readFileSync(join(to, 'e/three')).equals(data))
  t.is(statSync(join(to, 'e/other')).nlink, 1)
})

test('a name of a hard-linked file whose content differs becomes a file of its own', async t => {
  const archive = createTestArchive()
  await archive.add([file('one', 'first', { ino: 7n, nlink: 2 }), file('two', 'second', { ino: 7n, nlink: 2 })])
  const to = targetFolder(t)
  t.is((await restoreTo(archive, to)).failure_count, 0)
  t.is(readFileSync(join(to, 'one'), 'utf8'), 'first')
  t.is(readFileSync(join(to, 'two'), 'utf8'), 'second')
})

test('sparse files are sparse again, small and large', async t => {
  const archive = createTestArchive()
  const MiB = 1024 * 1024
  const small = randomBytes(8192)
  const large = randomBytes(3 * MiB)
  await archive.add([
    file('small', small, {
      holes: [
        [0, 4 * MiB],
        [4 * MiB + 4096, 2 * MiB],
      ],
    }),
    file('large', large, { holes: [[MiB, 8 * MiB]] }),
    { path: 'nothing', mode: 0o100644, size: 16 * MiB, holes: [[0, 16 * MiB]] },
  ])
  const to = targetFolder(t)
  const tally = await restoreTo(archive, to)
  t.deepEqual(tally.failures, [])
  const expected = Buffer.alloc(6 * MiB + 8192)
  small.copy(expected, 4 * MiB, 0, 4096)
  small.copy(expected, 6 * MiB + 4096, 4096)
  t.true(readFileSync(join(to, 'small')).equals(expected))
  t.true(readFileSync(join(to, 'large')).equals(Buffer.concat([large.subarray(0, MiB), Buffer.alloc(8 * MiB), large.subarray(MiB)])))
  t.is(statSync(join(to, 'nothing')).size, 16 * MiB)
  const fd = openSync(join(to, 'large'), 'r')
  t.deepEqual(readHoles(fd, 11 * MiB), [[MiB, 8 * MiB]])
  closeSync(fd)
})

test('FIFOs come back, and device nodes for root; others name them as not restored', async t => {
  const archive = createTestArchive()
  await archive.add([
    { path: 'fifo', mode: 0o010640 },
    { path: 'null', mode: 0o020666, rdev: [1, 3] },
  ])
  const to = targetFolder(t)
  const tally = await restoreTo(archive, to)
  t.true(lstatSync(join(to, 'fifo')).isFIFO())
  t.is(lstatSync(join(to, 'fifo')).mode & 0o7777, 0o640)
  if (isRoot) t.true(lstatSync(join(to, 'null')).isCharacterDevice())
  else
    t.deepEqual(
      tally.failures.map(({ path, code, isDamage }) => ({ path, code, isDamage })),
      [{ path: 'null', code: 'EPERM', isDamage: false }],
    )
})

test('a file that goes on over several pages is put together, and its hash is that of all of them', async t => {
  const archive = createTestArchive()
  const data = randomBytes(5 * 1024 * 1024)
  await archive.add([directory('d'), file('d/big', data), file('d/small', 'small')], { blockBytes: 300_000, extentsPerPage: 5 })
  const to = targetFolder(t)
  const tally = await restoreTo(archive, to)
  t.deepEqual(tally.failures, [])
  t.is(tally.files, 2)
  t.true(readFileSync(join(to, 'd/big')).equals(data))
  t.deepEqual(readdirSync(join(to, 'd')).sort(), ['big', 'small'])
})

test('only what was asked for is restored, the directories above it are made, and few pages are read', async t => {
  const archive = createTestArchive()
  const names = Array.from({ length: 40 }, (_, i) => `f${String(i).padStart(2, '0')}`)
  await archive.add([directory('a'), ...names.flatMap(name => [directory(`a/${name}`), file(`a/${name}/x`, name)]), file('a-b', 'not inside a')], {
    breaks: names.map(name => `a/${name}/x`),
  })
  const to = targetFolder(t)
  archive.reads.length = 0
  const tally = await restoreTo(archive, to, { paths: ['a/f17/x', 'a/f30'] })
  t.deepEqual(tally.failures, [])
  t.is(tally.files, 2)
  t.is(readFileSync(join(to, 'a/f17/x'), 'utf8'), 'f17')
  t.is(readFileSync(join(to, 'a/f30/x'), 'utf8'), 'f30')
  t.deepEqual(readdirSync(join(to, 'a')).sort(), ['f17', 'f30'])
  t.false(existsSync(join(to, 'a-b')))
  t.true(archive.reads.length < 25, `${archive.reads.length} records were read`)
})

test('a path that is not in the snapshot is named', async t => {
  const archive = createTestArchive()
  await archive.add([file('there', 'x')])
  await t.throwsAsync(restoreTo(archive, targetFolder(t), { paths: ['there', 'not/there'] }), { message: /PATH_NOT_IN_SNAPSHOT.*\/not\/there/ })
})

test('a block that several files need is fetched once', async t => {
  const archive = createTestArchive()
  await archive.add(
    Array.from({ length: 50 }, (_, i) => file(`f${i}`, `content ${i}`)),
    { breaks: ['f2', 'f3', 'f4'] },
  )
  archive.reads.length = 0
  t.is((await restoreTo(archive, targetFolder(t))).files, 50)
  t.is(archive.reads.length, new Set(archive.reads).size)
})

test('extended attributes come back', async t => {
  const archive = createTestArchive()
  await archive.add([file('x', 'x', { xattrs: [['user.note', Buffer.from('kept')]] })])
  const to = targetFolder(t)
  t.is((await restoreTo(archive, to)).failure_count, 0)
  const { getXattr } = await import('#filesystem/libc.ts')
  t.is(getXattr(join(to, 'x').slice(1), 'user.note')?.toString(), 'kept')
})
