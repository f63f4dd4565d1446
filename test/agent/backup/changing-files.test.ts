// Files that do not hold still, or cannot be read: read again, then reported, and all others are backed up. One after
// another: one of them acts as another user.
import { spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createShelf, type Shelf } from './record-shelf.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-changing-'))
test.after.always(() => rmSync(root, { recursive: true, force: true }))
const makeFolder = (name: string): string => {
  const folder = join(root, name)
  mkdirSync(folder)
  return folder
}
const entryOf = (shelf: Shelf, end: string): ReturnType<Shelf['entries']>[number] | undefined => shelf.entries().find(({ path }) => path.endsWith(end))
/** By the end of their paths. */
const reasons = (shelf: Shelf): Record<string, string> => Object.fromEntries(shelf.unreadable.map(({ path, reason }) => [path.split('/').at(-1) ?? '', reason]))

test.serial('a file that is appended to all the time is stored as it was read last, and reported', async t => {
  const shelf = createShelf()
  const folder = makeFolder('log')
  const log = join(folder, 'log')
  // So long that the writer has its turns while it is read, however busy the machine is.
  writeFileSync(log, Buffer.alloc(60_000_000, 'x'))
  writeFileSync(join(folder, 'still'), 'still')
  const writer = spawn('dd', ['if=/dev/zero', `of=${log}`, 'bs=1', 'count=1000000000', 'oflag=append', 'conv=notrunc'], { stdio: 'ignore' })
  while (statSync(log).size < 60_000_100) await new Promise(resolve => setImmediate(resolve))
  try {
    await shelf.backup([folder])
  } finally {
    writer.kill('SIGKILL')
  }
  t.is(reasons(shelf)['log'], 'CHANGED')
  const entry = entryOf(shelf, '/log/log')
  t.truthy(entry)
  if (!entry) return
  const content = shelf.contentOf(entry)
  t.is(content.length, entry.size)
  t.true(readFileSync(log).subarray(0, content.length).equals(content))
  t.is(entryOf(shelf, 'still')?.size, 5)
  shelf.close()
})

test.serial('files that vanish, shrink, grow or become something else after they were listed do not keep the others from being stored', async t => {
  const shelf = createShelf()
  const folder = makeFolder('vanishing')
  // Listed first, and large: while its blocks are sent, the rest of the folder changes.
  writeFileSync(join(folder, 'a large'), Buffer.alloc(40_000_000, 'a large file '))
  for (const name of ['b gone', 'c folder', 'd shorter', 'e longer', 'f same']) writeFileSync(join(folder, name), name.repeat(40_000))
  // So small that they are read ahead: what is stored is the file as it was then, or as it is.
  for (const name of ['g small', 'h small']) writeFileSync(join(folder, name), name.repeat(1000))
  let isDone = false
  shelf.onSend = () => {
    if (isDone) return
    isDone = true
    rmSync(join(folder, 'b gone'))
    rmSync(join(folder, 'c folder'))
    mkdirSync(join(folder, 'c folder'))
    writeFileSync(join(folder, 'd shorter'), 'short')
    writeFileSync(join(folder, 'e longer'), 'long'.repeat(100_000))
    writeFileSync(join(folder, 'g small'), 'altered'.repeat(1000))
    rmSync(join(folder, 'h small'))
  }
  await shelf.backup([folder])
  t.true(isDone)
  t.is(entryOf(shelf, 'b gone'), undefined)
  for (const name of ['a large', 'd shorter', 'e longer', 'f same']) {
    const entry = entryOf(shelf, name)
    t.truthy(entry, name)
    if (entry) t.true(shelf.contentOf(entry).equals(readFileSync(join(folder, name))), name)
  }
  const small = entryOf(shelf, 'g small')
  t.true(small && ['g small', 'altered'].some(text => shelf.contentOf(small).toString() === text.repeat(1000)))
  const gone = entryOf(shelf, 'h small')
  t.true(!gone || shelf.contentOf(gone).toString() === 'h small'.repeat(1000))
  shelf.close()
})

test.serial('what may not be read is reported by its reason, and the rest is stored', async t => {
  const shelf = createShelf()
  const folder = makeFolder('forbidden')
  mkdirSync(join(folder, 'secret folder'))
  writeFileSync(join(folder, 'secret folder', 'inside'), 'inside')
  writeFileSync(join(folder, 'secret file'), 'secret')
  writeFileSync(join(folder, 'open file'), 'open')
  const isRoot = process.getuid?.() === 0
  chmodSync(join(folder, 'secret folder'), 0)
  chmodSync(join(folder, 'secret file'), 0)
  if (isRoot) {
    for (const path of [root, folder]) chmodSync(path, 0o755)
    chownSync(shelf.folder, 65_534, 65_534)
    process.seteuid?.(65_534)
  }
  try {
    await shelf.backup([folder])
  } finally {
    if (isRoot) process.seteuid?.(0)
    chmodSync(join(folder, 'secret folder'), 0o755)
  }
  t.like(reasons(shelf), { 'secret folder': 'EACCES', 'secret file': 'EACCES' })
  t.is(entryOf(shelf, 'open file')?.size, 4)
  t.is(entryOf(shelf, 'secret file'), undefined)
  t.truthy(entryOf(shelf, 'secret folder'), 'the folder itself is known')
  shelf.close()
})

test.serial('sparse files of every kind come back byte for byte: only a hole, data and a hole, a hole and data, and data beyond 4 GiB', async t => {
  const shelf = createShelf()
  const folder = makeFolder('sparse')
  const size = 5 * 2 ** 30
  const kinds: Record<string, [size: number, data: number[]]> = {
    'only a hole': [20_000_000, []],
    'data first': [20_000_000, [0]],
    'data last': [20_000_000, [20_000_000 - 4096]],
    huge: [size, [0, 2 ** 31, 4 * 2 ** 30 + 4096 * 5, size - 4096]],
  }
  for (const [name, [length, places]] of Object.entries(kinds)) {
    const fd = openSync(join(folder, name), 'w')
    ftruncateSync(fd, length)
    for (const at of places) writeSync(fd, Buffer.alloc(4096, `${name} ${at} `), 0, 4096, at)
    closeSync(fd)
  }
  const { counts } = await shelf.backup([folder])
  t.deepEqual(shelf.unreadable, [])
  for (const [name, [length, places]] of Object.entries(kinds)) {
    const entry = entryOf(shelf, name)
    t.is(entry?.size, length, name)
    if (!entry?.holes) continue
    // Holes and extents together are the file: the content is the data, in order.
    const content = shelf.contentOf(entry)
    let [at, taken] = [0, 0]
    const dataAt = (place: number): Buffer => {
      const before = entry.holes?.reduce((sum, [from, hole]) => (from < place ? sum + hole : sum), 0) ?? 0
      return content.subarray(place - before, place - before + 4096)
    }
    for (const place of places) t.true(dataAt(place).equals(Buffer.alloc(4096, `${name} ${place} `)), `${name} at ${place}`)
    for (const [from, hole] of entry.holes) {
      taken += from - at
      at = from + hole
    }
    t.is(taken + length - at, content.length, name)
  }
  if (entryOf(shelf, 'huge')?.holes) t.true(counts.read_bytes < 2_000_000)
  shelf.close()
})

test.serial('a socket is passed over and said, and is nothing unreadable', async t => {
  const shelf = createShelf()
  const folder = makeFolder('sockets')
  const server = createServer()
  await new Promise<void>(resolve => server.listen(join(folder, 'socket'), resolve))
  writeFileSync(join(folder, 'file'), 'file')
  await shelf.backup([folder])
  server.close()
  t.is(reasons(shelf)['socket'], 'SOCKET')
  t.is(entryOf(shelf, '/socket'), undefined)
  t.is(entryOf(shelf, '/file')?.size, 4)
  shelf.close()
})
