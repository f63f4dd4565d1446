import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { createShelf, type Shelf } from './record-shelf.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-source-'))
test.after.always(() => rmSync(root, { recursive: true, force: true }))

/** Numbers that look random, the same in every run. */
const bytesOf = (length: number, seed: number): Buffer => {
  const bytes = Buffer.alloc(length)
  let state = seed * 2_654_435_761 + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

function makeTree(name: string, folders: number, files: number): string {
  const folder = join(root, name)
  for (let i = 0; i < folders; i++) {
    mkdirSync(join(folder, `d${i}`), { recursive: true })
    for (let j = 0; j < files; j++) writeFileSync(join(folder, `d${i}`, `f${j}`), `file ${i} ${j} `.repeat(1 + ((i * 7 + j) % 50)))
  }
  return folder
}

/** Times of files must be old enough to be trusted. */
const settle = (): Promise<void> => wait(60)

const assertSame = (t: ExecutionContext, shelf: Shelf): void => {
  for (const entry of shelf.entries()) {
    if ((entry.mode & 0o170000) === 0o100000) t.true(shelf.contentOf(entry).equals(readFileSync(Buffer.from(`/${entry.path}`, 'latin1'))), entry.path)
  }
}

test('a backup holds every file as it is, and an unchanged one sends nothing and refers to every page again', async t => {
  const shelf = createShelf()
  const folder = makeTree('plain', 30, 40)
  writeFileSync(join(folder, 'large'), bytesOf(9_000_000, 1))
  writeFileSync(join(folder, 'empty'), '')
  symlinkSync('nowhere', join(folder, 'link'))
  linkSync(join(folder, 'd0', 'f0'), join(folder, 'hard'))
  await settle()
  const first = await shelf.backup([folder])
  t.is(first.counts.files, 30 * 40 + 3)
  assertSame(t, shelf)
  const pages = shelf.pageIds()
  await shelf.backup([folder])
  t.is(shelf.sent, 0)
  t.deepEqual(shelf.pageIds(), pages)
  shelf.close()
})

test('an insertion, a change and a removal are seen, and change only the pages that they fall into', async t => {
  const shelf = createShelf()
  const folder = makeTree('changing', 100, 90)
  await settle()
  await shelf.backup([folder])
  const before = shelf.pageIds()
  writeFileSync(join(folder, 'd50', 'f3a'), 'new')
  appendFileSync(join(folder, 'd50', 'f5'), 'more')
  rmSync(join(folder, 'd50', 'f7'))
  renameSync(join(folder, 'd50', 'f8'), join(folder, 'd50', 'g8'))
  await settle()
  const second = await shelf.backup([folder])
  t.is(second.counts.changed_files, 3)
  assertSame(t, shelf)
  const names = shelf.entries().map(entry => entry.path)
  t.true(names.some(name => name.endsWith('d50/f3a')))
  t.false(names.some(name => name.endsWith('d50/f7')))
  t.is(names.length, new Set(names).size)
  t.true(shelf.pageIds().filter(id => !before.includes(id)).length <= 3)
  await shelf.backup([folder])
  t.is(shelf.sent, 0)
  shelf.close()
})

test('files that are added behind the last page again and again do not make a page each', async t => {
  const shelf = createShelf()
  const folder = makeTree('growing', 1, 20)
  for (let i = 0; i < 6; i++) {
    writeFileSync(join(folder, `z${i}`), 'x')
    await settle()
    await shelf.backup([folder])
    t.is(shelf.pageIds().length, 1)
  }
  t.is(shelf.entries().filter(entry => /\/z\d$/.test(entry.path)).length, 6)
  shelf.close()
})

test('a backup that was interrupted goes on, and sends nothing twice', async t => {
  const shelf = createShelf()
  const folder = makeTree('interrupted', 100, 90)
  writeFileSync(join(folder, 'd30', 'large'), bytesOf(20_000_000, 2))
  await settle()
  for (const stopAfter of [3, 4, 2]) {
    shelf.stopAfter = stopAfter
    await t.throwsAsync(shelf.backup([folder]), { message: 'stopped' })
  }
  shelf.stopAfter = Number.POSITIVE_INFINITY
  await shelf.backup([folder])
  assertSame(t, shelf)
  shelf.close()
})

test('without its cache an agent reads every file again, and sends nothing', async t => {
  const shelf = createShelf()
  const folder = makeTree('uncached', 20, 30)
  writeFileSync(join(folder, 'large'), bytesOf(5_000_000, 3))
  await settle()
  await shelf.backup([folder])
  rmSync(join(shelf.folder, 'cache'), { recursive: true })
  const again = await shelf.backup([folder], { isDistrustful: true })
  // The page with the directories above may differ: their times are not ours.
  t.true(shelf.sent <= 1)
  t.true(again.counts.read_bytes > 5_000_000)
  shelf.close()
})

test('a torn page in the cache is fetched again, and nothing is sent', async t => {
  const shelf = createShelf()
  const folder = makeTree('torn', 20, 30)
  await settle()
  await shelf.backup([folder])
  for (const id of shelf.pageIds()) truncateSync(join(shelf.folder, 'cache', 'pages', id), 200)
  await shelf.backup([folder])
  t.is(shelf.sent, 0)
  shelf.close()
})

test('a copy of a file is referred to, not stored again', async t => {
  const shelf = createShelf()
  const folder = makeTree('copies', 1, 1)
  writeFileSync(join(folder, 'one'), bytesOf(300_000, 4))
  await settle()
  await shelf.backup([folder])
  writeFileSync(join(folder, 'two'), bytesOf(300_000, 4))
  await settle()
  await shelf.backup([folder])
  const [one, two] = ['one', 'two'].map(name => shelf.entries().find(entry => entry.path.endsWith(`copies/${name}`)))
  t.deepEqual(one?.extents, two?.extents)
  assertSame(t, shelf)
  shelf.close()
})

test('a file whose times and size stay but whose change time moved is read again', async t => {
  const shelf = createShelf()
  const folder = makeTree('sly', 1, 3)
  const file = join(folder, 'd0', 'f1')
  const times = new Date(1_600_000_000_000)
  writeFileSync(file, 'one')
  utimesSync(file, times, times)
  await settle()
  await shelf.backup([folder])
  writeFileSync(file, 'two')
  utimesSync(file, times, times)
  await settle()
  await shelf.backup([folder])
  assertSame(t, shelf)
  shelf.close()
})

test('a sparse file is stored without its holes', async t => {
  const shelf = createShelf()
  const folder = makeTree('sparse', 1, 1)
  const file = join(folder, 'sparse')
  writeFileSync(file, 'begin')
  truncateSync(file, 50_000_000)
  appendFileSync(file, 'end')
  await settle()
  const { counts } = await shelf.backup([folder])
  t.true(counts.read_bytes < 1_000_000)
  const entry = shelf.entries().find(one => one.path.endsWith('/sparse/sparse'))
  t.is(entry?.size, 50_000_003)
  t.true((entry?.holes?.length ?? 0) > 0)
  shelf.close()
})

test('a change of rights alone is kept', async t => {
  const shelf = createShelf()
  const folder = makeTree('rights', 1, 3)
  await settle()
  await shelf.backup([folder])
  chmodSync(join(folder, 'd0', 'f2'), 0o4751)
  await settle()
  await shelf.backup([folder])
  t.is(shelf.entries().find(entry => entry.path.endsWith('d0/f2'))?.mode, 0o104751)
  shelf.close()
})
