// What a file is besides its content, written and read back through the C library.
import { spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, lstatSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { readAttributes } from '#filesystem/attributes.ts'
import { FACT, FACT_WORDS, FileStats, wordsOf } from '#filesystem/file-stats.ts'
import { getXattr, listXattrs, makeNode, readHoles, setTimes, setTimesOfFile, setXattr, statsOfPath } from '#filesystem/libc.ts'
import { bytePath, systemPath } from '#filesystem/system-path.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-attributes-'))
test.after.always(() => rmSync(root, { recursive: true, force: true }))
const isRoot = process.getuid?.() === 0
const never = (error: unknown): never => {
  throw error
}
const attributesOf = (path: string): ReturnType<typeof readAttributes> => readAttributes(bytePath(path), statsOfPath(bytePath(path)), never)
const hasXattrs = ((): boolean => {
  const probe = join(root, 'probe')
  writeFileSync(probe, '')
  try {
    setXattr(bytePath(probe), 'user.probe', Buffer.from('1'))
    return true
  } catch {
    return false
  }
})()

test('extended attributes come back byte for byte, in order of their names (where the file system has them)', t => {
  if (!hasXattrs) return void t.pass()
  const file = join(root, 'xattrs')
  writeFileSync(file, '')
  const values: [string, Buffer][] = [
    ['user.a', Buffer.from([0, 255, 10])],
    ['user.empty', Buffer.alloc(0)],
    ['user.long', Buffer.alloc(3000, 'x')],
  ]
  for (const [name, value] of values.toReversed()) setXattr(bytePath(file), name, value)
  const read = attributesOf(file).xattrs?.filter(([name]) => name.startsWith('user.'))
  t.deepEqual(read, values)
  t.is(getXattr(bytePath(file), 'user.none'), undefined)
})

test('a POSIX ACL is an extended attribute, and comes back (where the file system has them)', t => {
  const [from, to] = [join(root, 'acl from'), join(root, 'acl to')]
  writeFileSync(from, '', { mode: 0o640 })
  writeFileSync(to, '', { mode: 0o640 })
  // Version 2: u::rw-, u:1234:r--, g::r--, m::r--, o::--- (tag, rights, id).
  const acl = Buffer.alloc(4 + 5 * 8)
  acl.writeUInt32LE(2, 0)
  const rows: [tag: number, rights: number, id: number][] = [
    [0x01, 6, 0xffff_ffff],
    [0x02, 4, 1234],
    [0x04, 4, 0xffff_ffff],
    [0x10, 4, 0xffff_ffff],
    [0x20, 0, 0xffff_ffff],
  ]
  rows.forEach(([tag, rights, id], i) => {
    acl.writeUInt16LE(tag, 4 + i * 8)
    acl.writeUInt16LE(rights, 6 + i * 8)
    acl.writeUInt32LE(id, 8 + i * 8)
  })
  try {
    setXattr(bytePath(from), 'system.posix_acl_access', acl)
  } catch (error) {
    return void t.true(['ENOTSUP', 'EOPNOTSUPP'].includes((error as NodeJS.ErrnoException).code ?? ''))
  }
  for (const [name, value] of attributesOf(from).xattrs ?? []) setXattr(bytePath(to), name, value)
  t.deepEqual(getXattr(bytePath(to), 'system.posix_acl_access'), acl)
})

test('a symlink keeps its target byte for byte, and is not followed for anything', t => {
  const link = join(root, 'link')
  symlinkSync(Buffer.from('no\xffwhere/\xe9', 'latin1'), link)
  t.like(attributesOf(link), { target: 'no\xffwhere/\xe9' })
  t.deepEqual(
    listXattrs(bytePath(link)).filter(name => name.startsWith('user.')),
    [],
  )
  t.throws(() => listXattrs(bytePath(join(root, 'gone'))), { code: 'ENOENT' })
})

test('target and device number are kept when extended attributes cannot be read', t => {
  const link = join(root, 'link that goes')
  symlinkSync('target', link)
  const errors: unknown[] = []
  const stats = statsOfPath(bytePath(link))
  const gone = bytePath(link)
  const read = readAttributes(gone, stats, error => errors.push(error))
  t.is(read.target, 'target')
  t.deepEqual(errors, [])
  rmSync(link)
  mkdirSync(link)
  rmSync(link, { recursive: true })
  const words = wordsOf(new ArrayBuffer(FACT_WORDS * 4))
  words.u32.set([0o020_600], FACT.mode)
  words.u32.set([1, 3], FACT.rdev_major)
  const device = new FileStats(words, 0)
  t.deepEqual(
    readAttributes(gone, device, error => errors.push((error as NodeJS.ErrnoException).code)),
    { rdev: [1, 3] },
  )
  t.deepEqual(errors, ['ENOENT'])
})

test('FIFOs come back for everybody, device nodes with their numbers for root', t => {
  const fifo = join(root, 'fifo')
  makeNode(bytePath(fifo), 0o010640, 0, 0)
  t.true(lstatSync(fifo).isFIFO())
  const device = join(root, 'device')
  const make = (): void => makeNode(bytePath(device), 0o020600, 4095, 70_000)
  if (!isRoot) return void t.throws(make, { code: 'EPERM' })
  make()
  t.deepEqual(attributesOf(device).rdev, [4095, 70_000])
  t.is(spawnSync('stat', ['-c', '%t %T', device], { encoding: 'utf8' }).stdout.trim(), `${(4095).toString(16)} ${(70_000).toString(16)}`)
})

test('times are set to the nanosecond, also before 1970, of files, directories and symlinks themselves', t => {
  const [file, folder, link] = [join(root, 'timed'), join(root, 'timed folder'), join(root, 'timed link')]
  writeFileSync(file, '')
  mkdirSync(folder)
  symlinkSync('timed', link)
  for (const ns of [1_700_000_000_123_456_789n, 1n, -1n, -1_500_000_001n]) {
    for (const path of [file, folder, link]) {
      setTimes(bytePath(path), 5n, ns)
      t.is(statsOfPath(bytePath(path)).mtime_ns, ns, path)
    }
    const fd = openSync(file, 'r')
    setTimesOfFile(fd, 7n, ns)
    closeSync(fd)
    t.is(lstatSync(file, { bigint: true }).mtimeNs, ns)
  }
})

test('holes are found at the beginning, in the middle and at the end, and beyond 4 GiB', t => {
  const file = join(root, 'holes')
  const fd = openSync(file, 'w+')
  const size = 5 * 2 ** 30
  const data = [2 ** 20, 2 ** 20 * 3, 4 * 2 ** 30 + 2 ** 20]
  ftruncateSync(fd, size)
  for (const at of data) writeSync(fd, Buffer.alloc(65_536, 1), 0, 65_536, at)
  const holes = readHoles(fd, size)
  closeSync(fd)
  if (!holes) return void t.pass('this file system keeps no holes')
  t.is(holes[0]?.[0], 0)
  t.is((holes.at(-1)?.[0] ?? 0) + (holes.at(-1)?.[1] ?? 0), size)
  for (const at of data)
    t.false(
      holes.some(([from, length]) => at < from + length && at + 65_536 > from),
      `data at ${at}`,
    )
  const full = openSync(join(root, 'full'), 'w+')
  writeSync(full, Buffer.alloc(100_000, 1))
  t.is(readHoles(full, 100_000), undefined)
  closeSync(full)
})

test('a path is the same bytes on its way to the system, whatever they are', t => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), bytes => {
      const path = Buffer.from(bytes).toString('latin1')
      const given = systemPath(path)
      t.deepEqual(Buffer.isBuffer(given) ? given : Buffer.from(given, 'latin1'), Buffer.from(`/${path}`, 'latin1'))
    }),
  )
})
