import test from 'ava'
import type { Entry } from '#format/page.ts'
import { find } from '#restore/find.ts'
import { createGlob } from '#restore/glob.ts'
import { difference, list } from '#restore/listing.ts'
import { openSnapshotAt, openSnapshots } from '#restore/snapshots.ts'
import { createTestArchive, directory, file, symlink, type TestArchive } from './archive.ts'

const at = (archive: TestArchive, sequence: number) => openSnapshotAt(archive.source, archive.keys, archive.rows[sequence - 1]?.snapshot ?? '')
async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}
const paths = (entries: Entry[]): string[] => entries.map(({ path }) => path)

test('ls shows what is right in a directory, a file itself, or everything below', async t => {
  const archive = createTestArchive()
  await archive.add([directory('a'), directory('a/b'), file('a/b/c', 'c'), file('a/x', 'x'), file('a-b', 'y'), symlink('z', 'a')], { breaks: ['a/b/c', 'a-b'] })
  const snapshot = await at(archive, 1)
  const ls = async (path: string, isDeep = false) => paths(await all(list(archive.source, archive.keys, snapshot, path, isDeep)))
  t.deepEqual(await ls(''), ['a', 'a-b', 'z'])
  t.deepEqual(await ls('a'), ['a/b', 'a/x'])
  t.deepEqual(await ls('a/x'), ['a/x'])
  t.deepEqual(await ls('a', true), ['a/b', 'a/b/c', 'a/x'])
  await t.throwsAsync(ls('a/none'), { code: 'PATH_NOT_IN_SNAPSHOT' })
})

test('ls shows the directories that lead to what was backed up, though they have no entries', async t => {
  const archive = createTestArchive()
  await archive.add([directory('home/ann'), file('home/ann/x', 'x'), directory('srv/data'), file('srv/data/y', 'y')], { breaks: ['srv/data'] })
  const snapshot = await at(archive, 1)
  t.deepEqual(paths(await all(list(archive.source, archive.keys, snapshot, '', false))), ['home', 'srv'])
  t.deepEqual(paths(await all(list(archive.source, archive.keys, snapshot, 'home', false))), ['home/ann'])
})

test('diff tells what was added, removed and changed, and reads no page that both have', async t => {
  const archive = createTestArchive()
  const same = [directory('m'), file('m/1', '1'), file('m/2', '2')]
  const stay = { ino: 1n }
  const first = await archive.add([
    directory('a', stay),
    file('a/gone', 'x', stay),
    file('a/mode', 'x', { ...stay, mode: 0o100600 }),
    file('a/text', 'old', stay),
  ])
  const middle = await archive.add(same)
  const second = await archive.add([
    directory('a', { ...stay, mtime_ns: 5n }),
    file('a/mode', 'x', stay),
    file('a/new', 'n', stay),
    file('a/text', 'new', stay),
  ])
  await archive.add([], { pages: [...first.pages, ...middle.pages] })
  await archive.add([], { pages: [...second.pages, ...middle.pages] })
  const [older, newer] = [await at(archive, 4), await at(archive, 5)]
  archive.reads.length = 0
  const found = await all(difference(archive.source, archive.keys, older, newer))
  t.deepEqual(
    found.map(({ kind, entry }) => `${kind} ${entry.path}`),
    ['removed a/gone', 'changed a/mode', 'added a/new', 'changed a/text'],
  )
  t.false(archive.reads.includes(middle.pages[0]?.toString('latin1') ?? ''))
  t.deepEqual(await all(difference(archive.source, archive.keys, newer, newer)), [])
})

test('find looks into each page once, and tells each version of a file once', async t => {
  const archive = createTestArchive()
  const { pages } = await archive.add([file('tax.pdf', 'v1'), file('tax.txt', 'no')])
  await archive.add([], { pages })
  await archive.add([directory('d'), file('d/tax.pdf', 'v2', { mtime_ns: 7n })])
  archive.reads.length = 0
  const found = await all(
    find(archive.source, archive.keys, openSnapshots(archive.source, archive.keys, archive.rows.toReversed()), createGlob('*.pdf'), () => t.fail()),
  )
  t.deepEqual(
    found.map(({ snapshot, entry }) => [snapshot.row.sequence, entry.path]),
    [
      [3, 'd/tax.pdf'],
      [2, 'tax.pdf'],
    ],
  )
  t.is(archive.reads.filter(name => name === pages[0]?.toString('latin1')).length, 1)
})

test('a damaged snapshot is told apart from the others', async t => {
  const archive = createTestArchive()
  await archive.add([file('x', '1')])
  const { snapshot } = await archive.add([file('x', '2')])
  const record = archive.records.get(Buffer.from(snapshot, 'hex').toString('latin1')) as Buffer
  record[130] = (record[130] ?? 0) ^ 1
  const found = await all(openSnapshots(archive.source, archive.keys, archive.rows))
  t.deepEqual(
    found.map(one => 'lost' in one),
    [false, true],
  )
})
