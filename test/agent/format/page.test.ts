import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { createPageBuilder, decodePage, type Entry, entriesOf, PAGE_BYTES_AIM, RARE_BYTES_MAX } from '#format/page.ts'
import { comparePaths } from '#format/path-order.ts'
import { isFault } from '#protocol/fault.ts'
import { PAGE_BLOCKS_MAX, PAGE_ENTRIES_MAX } from '#protocol/limits.ts'
import { BLOCK_A, BLOCK_B, TEST_ENTRIES, TEST_GROUPS, TEST_USERS } from './page-for-tests.ts'
import { check } from './seed.ts'

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/page.json'), 'utf8')) as {
  plaintext: string
  clear: string
  bad: { name: string; plaintext: string; clear: string }[]
}
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const NONE = new Map<number, string>()

function built(entries: readonly Entry[], users = NONE, groups = NONE): { plaintext: Buffer; clear: Buffer } {
  const builder = createPageBuilder()
  for (const entry of entries) builder.add(entry)
  return builder.finish(users, groups)
}

const file = (path: string, more: Partial<Entry> = {}): Entry => ({
  path,
  mode: 0o100644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime_ns: 0n,
  ctime_ns: 0n,
  ino: 0n,
  dev: 0n,
  nlink: 1,
  extents: [],
  ...more,
})
const directory = (path: string): Entry => file(path, { mode: 0o040755 })

test('the entries of the vector encode to its bytes, and come back from them', t => {
  const page = built(TEST_ENTRIES, TEST_USERS, TEST_GROUPS)
  t.is(page.plaintext.toString('hex'), vectors.plaintext)
  t.is(page.clear.toString('hex'), vectors.clear)
  const decoded = decodePage(bytes(vectors.plaintext), bytes(vectors.clear))
  t.deepEqual([...entriesOf(decoded)], [...TEST_ENTRIES])
  t.deepEqual(decoded.users, TEST_USERS)
  t.deepEqual(decoded.groups, TEST_GROUPS)
  t.is(decoded.parents, 'home')
})

test('entries copied from a page encode as those that were added, rare ones apart', t => {
  const from = decodePage(bytes(vectors.plaintext), bytes(vectors.clear))
  const [added, copied] = [createPageBuilder(), createPageBuilder()]
  let copies = 0
  for (const [i, entry] of TEST_ENTRIES.entries()) {
    added.add(entry)
    const isCopied = copied.copy(from, i)
    if (isCopied) copies++
    else copied.add(entry)
    t.is(copied.lastPath, entry.path)
    t.is(copied.bytes, added.bytes)
  }
  t.true(copies >= 3)
  t.deepEqual(copied.finish(TEST_USERS, TEST_GROUPS), added.finish(TEST_USERS, TEST_GROUPS))
})

test('copied entries stand between added ones, with the blocks of both in order of their first use', t => {
  const blocks = [BLOCK_A, BLOCK_B]
  const all = ['d', 'd/a', 'd/b', 'd/c', 'd/d', 'e', 'e/f'].map((path, i) =>
    path.length === 1
      ? directory(path)
      : file(path, { size: 10, extents: [{ block: blocks[i % 2] as Buffer, offset: i, length: 10 }], content: Buffer.alloc(32, i) }),
  )
  const { plaintext, clear } = built(all)
  const page = decodePage(plaintext, clear)
  for (let added = 0; added < 2 ** all.length; added++) {
    const builder = createPageBuilder()
    for (const [i, entry] of all.entries()) if ((added & (1 << i)) !== 0 || !builder.copy(page, i)) builder.add(entry)
    t.deepEqual(builder.finish(NONE, NONE), { plaintext, clear }, added.toString(2))
  }
})

for (const { name, plaintext, clear } of vectors.bad) {
  test(`a page is refused: ${name}`, t => {
    const error = t.throws(() => decodePage(bytes(plaintext), bytes(clear)))
    t.true(isFault(error, 'PAGE_INVALID'), String(error))
  })
}

const component = fc.string({ unit: fc.constantFrom('a', 'b', '-', '\xe9', '.c'), minLength: 1, maxLength: 3 }).filter(name => name !== '.' && name !== '..')
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const xattrs = fc.array(
  fc.tuple(
    fc.constantFrom('user.a', 'security.selinux'),
    fc.uint8Array({ maxLength: 9 }).map(value => Buffer.from(value)),
  ),
  { minLength: 1, maxLength: 3 },
)
const attributes = fc.record({
  uid: u32,
  gid: u32,
  mtime_ns: time,
  ctime_ns: time,
  ino: u64,
  dev: u64,
  nlink: u32,
  permissions: fc.integer({ min: 0, max: 0o7777 }),
  xattrs: fc.option(xattrs, { nil: undefined }),
})
const extents = fc.array(
  fc.record({ block: fc.integer({ min: 0, max: 9 }), offset: fc.integer({ min: 0, max: 2_000_000 }), length: fc.integer({ min: 1, max: 2_000_000 }) }),
  { maxLength: 4 },
)
const shape = fc.oneof(
  fc.record({ kind: fc.constant('file' as const), extents, hole: fc.option(fc.integer({ min: 1, max: 2 ** 40 }), { nil: undefined }) }),
  fc.record({ kind: fc.constant('symlink' as const), target: fc.string({ unit: fc.constantFrom('a', '/', '..', '\xff'), minLength: 1, maxLength: 40 }) }),
  fc.record({ kind: fc.constant('fifo' as const) }),
  fc.record({ kind: fc.constantFrom('character' as const, 'block' as const), rdev: fc.tuple(u32, u32) }),
)
type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never
type Attributes = typeof attributes extends fc.Arbitrary<infer T> ? T : never

function entryOf(path: string, what: Shape | 'directory', { permissions, xattrs, ...rest }: Attributes): Entry {
  const base = { path, ...rest, size: 0, extents: [], ...(xattrs ? { xattrs } : {}) }
  if (what === 'directory') return { ...base, mode: 0o040000 | permissions }
  if (what.kind === 'symlink') return { ...base, mode: 0o120000 | permissions, target: what.target }
  if (what.kind === 'fifo') return { ...base, mode: 0o010000 | permissions }
  if (what.kind !== 'file') return { ...base, mode: (what.kind === 'block' ? 0o060000 : 0o020000) | permissions, rdev: what.rdev }
  const data = what.extents.reduce((sum, extent) => sum + extent.length, 0)
  return {
    ...base,
    mode: 0o100000 | permissions,
    size: data + (what.hole ?? 0),
    extents: what.extents.map(extent => ({ ...extent, block: Buffer.alloc(32, extent.block) })),
    ...(data > 0 ? { content: Buffer.alloc(32, data & 255) } : {}),
    ...(what.hole ? { holes: [[0, what.hole]] } : {}),
  }
}

test('any tree of entries comes back as it went in', t => {
  const tree = fc.uniqueArray(fc.record({ parts: fc.array(component, { minLength: 1, maxLength: 5 }), what: shape, attributes }), {
    minLength: 1,
    maxLength: 40,
    selector: item => item.parts.join('/'),
  })
  check(
    fc.property(tree, items => {
      const leaves = new Map(items.map(item => [item.parts.join('/'), item]))
      const folders = new Set(items.flatMap(item => item.parts.slice(1).map((_, at) => item.parts.slice(0, at + 1).join('/'))))
      const paths = [...new Set([...leaves.keys(), ...folders])].sort(comparePaths)
      const entries = paths.map(path =>
        entryOf(
          path,
          folders.has(path) ? 'directory' : (leaves.get(path) as { what: Shape }).what,
          (leaves.get(path) ?? (items[0] as { attributes: Attributes })).attributes,
        ),
      )
      const page = built(entries)
      const decoded = decodePage(page.plaintext, page.clear)
      t.deepEqual([...entriesOf(decoded)], entries)
      t.deepEqual(
        paths.map((_, i) => decoded.path(paths.length - 1 - i)),
        [...paths].reverse(),
      )
    }),
    300,
  )
})

test('a flipped bit in a page is refused or changes values only: never a name that leaves its directory', t => {
  const plaintext = bytes(vectors.plaintext)
  for (let at = 0; at < plaintext.length; at++) {
    const copy = Buffer.from(plaintext)
    copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8))
    try {
      for (const { path } of entriesOf(decodePage(copy, bytes(vectors.clear))))
        t.false(path.split('/').some(part => ['', '.', '..'].includes(part) || part.includes('\0')))
    } catch (error) {
      t.true(isFault(error, 'PAGE_INVALID'), String(error))
    }
  }
})

test('a page goes on in the directories above its first entry, and takes no entry whose directory it has not', t => {
  const builder = createPageBuilder()
  t.true(builder.fits('a/b/c'))
  builder.add(file('a/b/c'))
  t.true(builder.fits('a/b/d'))
  t.false(builder.fits('a/b/d/e'))
  t.true(builder.fits('a/x'))
  builder.add(directory('a/x'))
  builder.add(file('a/x/y'))
  t.false(builder.fits('b/c'))
  t.throws(() => builder.add(file('b/c')), { message: /not in the page/ })
  builder.add(file('b'))
  const page = builder.finish(NONE, NONE)
  t.deepEqual(
    [...entriesOf(decodePage(page.plaintext, page.clear))].map(entry => entry.path),
    ['a/b/c', 'a/x', 'a/x/y', 'b'],
  )
  t.is(builder.count, 0)
})

test('a builder refuses what a reader would refuse', t => {
  const extent = { block: BLOCK_A, offset: 0, length: 5 }
  const wrong: Entry[][] = [
    [file('b'), file('a')],
    [file('a'), file('a')],
    [file('a'), file('a/b')],
    [file('a/..')],
    [file('.')],
    [file('')],
    [file('a//b')],
    [file('a'), file('b', { continuation: true })],
    [file('a', { size: 4, extents: [extent] })],
    [file('a', { size: 6, extents: [extent] }), file('b')],
    [{ ...directory('a'), size: 5, extents: [extent] }],
    [file('a', { mode: 0o120777 })],
    [file('a', { mode: 0o020666 })],
    [file('a', { mode: 0o140666 })],
    [
      file('a', {
        size: 10,
        extents: [extent],
        holes: [
          [0, 3],
          [2, 2],
        ],
      }),
    ],
    [file('a', { size: 5, extents: [{ ...extent, offset: 4_194_300 }] })],
  ]
  for (const entries of wrong) t.throws(() => built(entries), undefined, JSON.stringify(entries.map(entry => entry.path)))
})

test('a file with more blocks than a page may have goes on in the next one', t => {
  const extents = Array.from({ length: PAGE_BLOCKS_MAX }, (_, i) => {
    const block = Buffer.alloc(32)
    block.writeUInt32LE(i)
    return { block, offset: 0, length: 1000 }
  })
  const size = (PAGE_BLOCKS_MAX + 1) * 1000
  const first = built([file('big', { size, extents })])
  const second = built([
    file('big', { size, extents: [{ block: BLOCK_B, offset: 0, length: 1000 }], continuation: true, content: Buffer.alloc(32, 9) }),
    file('small'),
  ])
  const parts = [first, second].flatMap(page => [...entriesOf(decodePage(page.plaintext, page.clear))])
  t.deepEqual(
    parts.map(part => [part.path, part.extents.length, part.continuation ?? false]),
    [
      ['big', PAGE_BLOCKS_MAX, false],
      ['big', 1, true],
      ['small', 0, false],
    ],
  )
  t.throws(() => built([file('big', { size, extents: [...extents, { block: BLOCK_B, offset: 0, length: 1000 }] })]), { message: /full/ })
})

test('a page is full at 8,192 entries, and about full at its length in bytes', t => {
  const builder = createPageBuilder()
  for (let i = 0; i < PAGE_ENTRIES_MAX; i++) builder.add(file(String(i).padStart(6, '0')))
  t.false(builder.fits('x'))
  t.throws(() => builder.add(file('x')), { message: /full/ })
  const { plaintext, clear } = builder.finish(NONE, NONE)
  t.is(decodePage(plaintext, clear).count, PAGE_ENTRIES_MAX)
  const value = Buffer.alloc(60_000)
  for (let i = 0; builder.fits(String(i).padStart(4, '0')); i++) {
    value.writeUInt32LE(i)
    builder.add(file(String(i).padStart(4, '0'), { xattrs: [['user.x', Buffer.from(value)]] }))
  }
  t.true(builder.bytes >= PAGE_BYTES_AIM && builder.bytes < 2 * PAGE_BYTES_AIM)
  t.true(builder.finish(NONE, NONE).plaintext.length < 2 * PAGE_BYTES_AIM)
})

test('an entry whose xattrs are too large is refused by name, and leaves the page as it was', t => {
  const builder = createPageBuilder()
  builder.add(file('a'))
  const error = t.throws(() => builder.add(file('b', { xattrs: [['user.x', Buffer.alloc(RARE_BYTES_MAX)]] })))
  t.true(isFault(error, 'ENTRY_TOO_LARGE'))
  builder.add(file('c'))
  const page = builder.finish(NONE, NONE)
  t.deepEqual(
    [...entriesOf(decodePage(page.plaintext, page.clear))].map(entry => entry.path),
    ['a', 'c'],
  )
})

test('the same xattrs of many entries are kept once', t => {
  const entries = Array.from({ length: 1000 }, (_, i) => file(String(i).padStart(4, '0'), { xattrs: [['security.selinux', Buffer.alloc(500, 1)]] }))
  t.true(built(entries).plaintext.length < 100_000)
})
