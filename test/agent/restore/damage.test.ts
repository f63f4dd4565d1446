// Past damage: what can be restored is, what can't is named, and nothing wrong is ever written.
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { startContentHash } from '#format/content-hash.ts'
import { fault } from '#protocol/errors.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import { verify } from '#restore/verify.ts'
import { createTestArchive, directory, file, type TestArchive } from './archive.ts'
import { restoreTo, targetFolder } from './target-folder.ts'

const flip = (archive: TestArchive, id: Buffer, at: number): void => {
  const record = archive.records.get(id.toString('latin1'))
  if (record) record[record.length + at] = (record[record.length + at] ?? 0) ^ 1
}

async function smallAndLarge(): Promise<{ archive: TestArchive; large: Buffer; blockOf: (path: string, i?: number) => Buffer; pages: Buffer[] }> {
  const archive = createTestArchive()
  const large = randomBytes(4 * 1024 * 1024)
  const { entries, pages } = await archive.add(
    [
      directory('d'),
      file('d/a', randomBytes(600_000)),
      file('d/b', randomBytes(600_000)),
      file('d/c', randomBytes(600_000)),
      file('d/large', large),
      file('d/last', randomBytes(500_000)),
    ],
    { breaks: ['d/c'] },
  )
  return { archive, large, pages, blockOf: (path, i = 0) => entries.find(entry => entry.path === path)?.extents[i]?.block ?? Buffer.alloc(0) }
}

for (const how of ['altered', 'missing', 'not delivered'] as const) {
  const damage = (archive: TestArchive, id: Buffer): void => {
    if (how === 'altered') flip(archive, id, -40)
    else if (how === 'missing') archive.records.delete(id.toString('latin1'))
    else {
      archive.onRead = name => {
        if (name === id.toString('latin1')) throw fault('ARCHIVE_DAMAGED')
      }
    }
  }

  test(`a block that is ${how} costs the files in it, by name, and no others`, async t => {
    const { archive, blockOf, large } = await smallAndLarge()
    damage(archive, blockOf('d/a'))
    const to = targetFolder(t)
    const tally = await restoreTo(archive, to)
    t.deepEqual(
      tally.failures.map(({ path, isDamage }) => ({ path, isDamage })).sort((a, b) => (a.path < b.path ? -1 : 1)),
      [
        { path: 'd/a', isDamage: true },
        { path: 'd/b', isDamage: true },
      ],
    )
    t.true(readFileSync(join(to, 'd/large')).equals(large))
    t.deepEqual(readdirSync(join(to, 'd')).sort(), ['c', 'large', 'last'])
    t.is(tally.damage_count, 2)
  })

  test(`a block of a large file that is ${how} costs that file, and nothing of it is left`, async t => {
    const { archive, blockOf } = await smallAndLarge()
    damage(archive, blockOf('d/large', 2))
    const to = targetFolder(t)
    const tally = await restoreTo(archive, to)
    t.deepEqual(
      tally.failures.map(({ path, isDamage }) => ({ path, isDamage })),
      [{ path: 'd/large', isDamage: true }],
    )
    t.deepEqual(readdirSync(join(to, 'd')).sort(), ['a', 'b', 'c', 'last'])
  })

  test(`a page that is ${how} costs the files in it: the range is told, and the rest is restored`, async t => {
    const { archive, pages } = await smallAndLarge()
    damage(archive, pages[0] as Buffer)
    const to = targetFolder(t)
    const tally = await restoreTo(archive, to)
    t.deepEqual(
      tally.lost.map(({ after, before }) => ({ after, before })),
      [{ after: undefined, before: 'd/c' }],
    )
    t.deepEqual(readdirSync(join(to, 'd')).sort(), ['c', 'large', 'last'])
    t.is(tally.failure_count, 0)
    t.true(tally.damage_count > 0)
  })
}

test('a page that is lost in the middle of a large file costs that file, whichever part of it is lost', async t => {
  for (const lost of [0, 1, 2]) {
    const archive = createTestArchive()
    const { pages } = await archive.add([directory('d'), file('d/big', randomBytes(5 * 1024 * 1024)), file('d/z', 'z')], {
      blockBytes: 500_000,
      extentsPerPage: 4,
    })
    t.is(pages.length, 3)
    archive.records.delete((pages[lost] as Buffer).toString('latin1'))
    const to = targetFolder(t)
    const tally = await restoreTo(archive, to)
    t.false(existsSync(join(to, 'd/big')), `page ${lost}`)
    t.is(tally.lost.length, 1)
    if (lost > 0) t.true(tally.failures.some(({ path }) => path === 'd/big') || tally.lost[0]?.after === 'd/big', `page ${lost}`)
  }
})

test('content that does not have the hash of its entry is never put in its place', async t => {
  for (const [name, size] of [
    ['small', 1000],
    ['medium', 900_000],
    ['large', 2_000_000],
  ] as const) {
    const archive = createTestArchive()
    const other = startContentHash(archive.keys, 3)
    other.update(Buffer.from('abc'))
    await archive.add([file(name, randomBytes(size), { content: other.digest() })])
    const to = targetFolder(t)
    const tally = await restoreTo(archive, to)
    t.deepEqual(
      tally.failures.map(({ path, code, isDamage }) => ({ path, code, isDamage })),
      [{ path: name, code: 'CONTENT_MISMATCH', isDamage: true }],
    )
    t.deepEqual(readdirSync(to), [])
  }
})

test('a record that is handed over in the place of another is not taken for it', async t => {
  const archive = createTestArchive()
  const { entries } = await archive.add([file('one', randomBytes(1_100_000)), file('two', randomBytes(1_100_000))])
  const [one, two] = entries.map(entry => (entry.extents[0]?.block ?? Buffer.alloc(0)).toString('latin1'))
  const swapped = Buffer.from(archive.records.get(two ?? '') ?? '')
  // With the header's id of the other one.
  archive.records.get(one ?? '')?.copy(swapped, 20, 20, 52)
  archive.records.set(one ?? '', swapped)
  const to = targetFolder(t)
  t.deepEqual(
    (await restoreTo(archive, to)).failures.map(({ path }) => path),
    ['one'],
  )
  t.deepEqual(readdirSync(to), ['two'])
})

test('any flipped byte of any record is named or harmless, and never restored wrong', async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.log(`seed ${seed}`)
  let random = seed
  const next = (below: number): number => {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31
    return random % below
  }
  const archive = createTestArchive()
  const files = ['a', 'b', 'c'].map(name => file(`d/${name}`, randomBytes(50_000)))
  const { pages } = await archive.add([directory('d'), ...files], { breaks: ['d/b'] })
  const names = [...archive.records.keys()].filter(
    name => pages.some(page => page.toString('latin1') === name) || name !== Buffer.from(archive.rows[0]?.snapshot ?? '', 'hex').toString('latin1'),
  )
  for (let round = 0; round < 12; round++) {
    const name = names[next(names.length)] ?? ''
    const whole = archive.records.get(name) as Buffer
    const record = Buffer.from(whole)
    const at = next(record.length)
    record[at] = (record[at] ?? 0) ^ (1 << next(8))
    archive.records.set(name, record)
    const to = targetFolder(t)
    const tally = await restoreTo(archive, to)
    const there = existsSync(join(to, 'd')) ? readdirSync(join(to, 'd')) : []
    for (const { path, data } of files) if (there.includes(path.slice(2))) t.true(readFileSync(join(to, path)).equals(data as Buffer), `byte ${at}`)
    t.true(there.length === 3 || tally.damage_count > 0, `byte ${at}`)
    archive.records.set(name, whole)
  }
})

test('verify names files whose blocks are missing, and with --read-data those whose blocks are altered', async t => {
  const { archive, blockOf } = await smallAndLarge()
  const snapshot = await openSnapshotAt(archive.source, archive.keys, 'latest')
  const run = (isDataRead: boolean) => verify({ source: archive.source, keys: archive.keys, ring: archive.ring, snapshot, isDataRead })
  const whole = await run(true)
  t.is(whole.tally.failure_count, 0)
  t.is(whole.pages, 2)
  t.is(whole.tally.files, 5)
  flip(archive, blockOf('d/last'), -20)
  t.is((await run(false)).tally.failure_count, 0)
  t.deepEqual(
    (await run(true)).tally.failures.map(({ path }) => path),
    ['d/c', 'd/last'],
  )
  archive.records.delete(blockOf('d/large', 1).toString('latin1'))
  t.deepEqual(
    (await run(false)).tally.failures.map(({ path }) => path),
    ['d/large'],
  )
})

test('a page whose clear list was altered is lost, not believed', async t => {
  const { archive, pages } = await smallAndLarge()
  const record = archive.records.get((pages[0] as Buffer).toString('latin1')) as Buffer
  record[88] = (record[88] ?? 0) ^ 1
  const tally = await restoreTo(archive, targetFolder(t))
  t.is(tally.lost.length, 1)
})
