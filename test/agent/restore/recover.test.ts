import { createHash, randomBytes } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { createKeyRing } from '#format/keys.ts'
import { type Recovered, type RecoverOptions, recover } from '#restore/recover.ts'
import { createTestArchive, directory, file, type TestArchive } from './archive.ts'
import { writeArchiveDirectory } from './archive-directory.ts'
import { targetFolder } from './target-folder.ts'

type T = { teardown(fn: () => void): void; log(text: string): void }

async function onDisk(t: T, archive: TestArchive): Promise<{ folder: string; segments: string; segment: string }> {
  const folder = targetFolder(t)
  const segments = await writeArchiveDirectory(archive, join(folder, 'store'))
  // A copy without an index, as it would be on a disk that somebody brings.
  const copy = join(folder, 'copy')
  cpSync(segments, copy, { recursive: true })
  rmSync(join(folder, 'store'), { recursive: true })
  return { folder, segments: copy, segment: join(copy, readdirSync(copy).find(name => name.endsWith('.segment')) ?? '') }
}

const run = (archive: TestArchive, directory: string, target: string, more: Partial<RecoverOptions> = {}): Promise<Recovered> =>
  recover({ directory, ring: archive.ring, target, paths: [], at: 'latest', onConflict: 'rename', isResume: false, ...more })

function flipIn(segment: string, record: Buffer | undefined, at: number): void {
  const bytes = readFileSync(segment)
  const offset = bytes.indexOf((record as Buffer).subarray(0, 88))
  if (offset < 0) throw new Error('the record is not in the segment')
  bytes[offset + at] = (bytes[offset + at] ?? 0) ^ 1
  writeFileSync(segment, bytes)
}

test('the newest snapshot comes back from a copied archive directory, with no index and no server', async t => {
  const archive = createTestArchive()
  await archive.add([directory('d'), file('d/x', 'old')])
  const large = randomBytes(2_500_000)
  await archive.add([directory('d'), file('d/large', large), file('d/x', 'new')])
  const { folder, segments } = await onDisk(t, archive)
  const { tally, snapshot, damage_count } = await run(archive, segments, join(folder, 'to'))
  t.deepEqual(tally.failures, [])
  t.is(damage_count, 0)
  t.is(snapshot.row.sequence, 2)
  t.is(readFileSync(join(folder, 'to/d/x'), 'utf8'), 'new')
  t.true(readFileSync(join(folder, 'to/d/large')).equals(large))
  await run(archive, segments, join(folder, 'older'), { at: archive.rows[0]?.snapshot.slice(0, 10) ?? '' })
  t.is(readFileSync(join(folder, 'older/d/x'), 'utf8'), 'old')
})

test('a damaged block costs the files in it, by name; all else is recovered', async t => {
  const archive = createTestArchive()
  const { entries } = await archive.add([
    directory('d'),
    file('d/a', randomBytes(900_000)),
    file('d/b', randomBytes(900_000)),
    file('d/c', randomBytes(900_000)),
  ])
  const { folder, segments, segment } = await onDisk(t, archive)
  flipIn(segment, archive.records.get(entries[3]?.extents[0]?.block.toString('latin1') ?? ''), 5000)
  const { tally } = await run(archive, segments, join(folder, 'to'))
  t.deepEqual(
    tally.failures.map(({ path, isDamage }) => ({ path, isDamage })),
    [{ path: 'd/c', isDamage: true }],
  )
  t.deepEqual(readdirSync(join(folder, 'to/d')).sort(), ['a', 'b'])
})

test('when the newest snapshot is damaged, the one before it is recovered, and that is told', async t => {
  const archive = createTestArchive()
  await archive.add([file('x', 'old')])
  const { snapshot } = await archive.add([file('x', 'new')])
  const { folder, segments, segment } = await onDisk(t, archive)
  flipIn(segment, archive.records.get(Buffer.from(snapshot, 'hex').toString('latin1')), 160)
  const told: string[] = []
  const recovered = await run(archive, segments, join(folder, 'to'), { onLostSnapshot: id => told.push(id), onDamage: ({ reason }) => told.push(reason) })
  t.is(recovered.snapshot.row.sequence, 1)
  t.is(readFileSync(join(folder, 'to/x'), 'utf8'), 'old')
  t.is(told.length, 1)
})

test('a key of somebody else opens nothing, and nothing is written', async t => {
  const archive = createTestArchive()
  await archive.add([file('x', 'x')])
  const { folder, segments } = await onDisk(t, archive)
  await t.throwsAsync(run(archive, segments, join(folder, 'to'), { ring: createKeyRing() }), { code: 'KEY_WRONG' })
  t.false(existsSync(join(folder, 'to')))
})

test('a directory without segments is refused', async t => {
  const archive = createTestArchive()
  await t.throwsAsync(run(archive, targetFolder(t), '/nowhere'), { code: 'ARCHIVE_UNKNOWN' })
})

test('any flipped byte of a segment is named or harmless, and never recovered wrong', async t => {
  const seed = Number(process.env['HOLDFAST_SEED'] ?? Date.now() % 1_000_000)
  t.log(`seed ${seed}`)
  const archive = createTestArchive()
  const files = ['a', 'b', 'c', 'e'].map(name => file(`d/${name}`, randomBytes(30_000)))
  await archive.add([directory('d'), ...files], { breaks: ['d/b', 'd/c'] })
  const { folder, segments, segment } = await onDisk(t, archive)
  const whole = readFileSync(segment)
  for (let round = 0; round < 16; round++) {
    const at = createHash('sha256').update(`${seed} ${round}`).digest().readUInt32LE(0) % whole.length
    const bytes = Buffer.from(whole)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8))
    writeFileSync(segment, bytes)
    const to = join(folder, `to-${round}`)
    const notes: string[] = []
    let found: Recovered | undefined
    try {
      found = await run(archive, segments, to, { onDamage: damage => notes.push(damage.reason), onLostSnapshot: id => notes.push(id) })
    } catch (error) {
      t.true(error instanceof Error && 'code' in error, `byte ${at}: ${String(error)}`)
    }
    const there = existsSync(join(to, 'd')) ? readdirSync(join(to, 'd')) : []
    for (const { path, data } of files) if (there.includes(path.slice(2))) t.true(readFileSync(join(to, path)).equals(data as Buffer), `byte ${at}`)
    const isNamed = found === undefined || found.tally.damage_count > 0 || notes.length > 0
    t.true(there.length === 4 || isNamed, `byte ${at}: ${there.length} files, and nothing was said`)
  }
})

test('a segment that is missing is named, and what the others hold is recovered', async t => {
  const archive = createTestArchive()
  await archive.add([directory('d'), ...Array.from({ length: 5 }, (_, i) => file(`d/f${i}`, randomBytes(16 * 1024 * 1024)))], { blockBytes: 4 * 1024 * 1024 })
  const { folder, segments } = await onDisk(t, archive)
  t.deepEqual(readdirSync(segments).sort(), ['00000001.segment', '00000002.segment'])
  rmSync(join(segments, '00000001.segment'))
  const damaged: number[] = []
  const { tally } = await run(archive, segments, join(folder, 'to'), { onDamage: ({ segment }) => damaged.push(segment) })
  t.deepEqual(damaged, [1])
  t.true(tally.failure_count > 0 && tally.failure_count < 5)
  t.is(readdirSync(join(folder, 'to/d')).length, 5 - tally.failure_count)
})
