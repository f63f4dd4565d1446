// A page with every kind of entry: the one of the vectors and of FORMAT.md.
import { createHash } from 'node:crypto'
import type { Entry } from '#format/page.ts'

const blockId = (text: string): Buffer => createHash('sha256').update(text).digest()
export const BLOCK_A = blockId('block a')
export const BLOCK_B = blockId('block b')

const base = { uid: 1000, gid: 100, size: 0, mtime_ns: 1_790_000_000_123_456_789n, ctime_ns: 1_790_000_001_000_000_000n, dev: 2049n, nlink: 1, extents: [] }
const hash = (fill: number): Buffer => Buffer.alloc(32, fill)

export const TEST_USERS = new Map([
  [0, 'root'],
  [1000, 'ann'],
])
export const TEST_GROUPS = new Map([[100, 'users']])

export const TEST_ENTRIES: readonly Entry[] = [
  { ...base, path: 'home/ann', mode: 0o040755, ino: 10n, nlink: 3 },
  { ...base, path: 'home/ann/empty', mode: 0o100644, ino: 11n },
  { ...base, path: 'home/ann/link', mode: 0o120777, ino: 12n, target: '../bob/\xe9t\xe9' },
  {
    ...base,
    path: 'home/ann/notes',
    mode: 0o100600,
    ino: 13n,
    size: 300,
    content: hash(1),
    extents: [{ block: BLOCK_A, offset: 0, length: 300 }],
    xattrs: [['user.note', Buffer.from('hello')]],
  },
  { ...base, path: 'home/ann/sub', mode: 0o040700, ino: 14n },
  { ...base, path: 'home/ann/sub/pipe', mode: 0o010600, ino: 15n },
  {
    ...base,
    path: 'home/ann/sub/sparse',
    mode: 0o100644,
    ino: 16n,
    size: 1_050_676,
    content: hash(2),
    extents: [
      { block: BLOCK_A, offset: 300, length: 2000 },
      { block: BLOCK_B, offset: 0, length: 100 },
    ],
    holes: [[0, 1_048_576]],
  },
  { ...base, path: 'home/ann/sub-folder', mode: 0o040755, ino: 17n, xattrs: [['user.note', Buffer.from('hello')]] },
  { ...base, path: 'home/ann/\xff\xfe', mode: 0o100644, ino: 18n, size: 7, content: hash(3), extents: [{ block: BLOCK_B, offset: 100, length: 7 }], nlink: 2 },
  { ...base, path: 'home/null', mode: 0o020666, uid: 0, ino: 19n, rdev: [1, 3] },
]
