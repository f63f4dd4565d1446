// A reader written in another language, from FORMAT-archive.md alone, finds what ours finds, whatever has happened.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { closeReading, openArchiveReading, readRecordAt } from '../../../appliance/archive/reading.ts'
import { makeArchive, SMALL } from './archive-for-tests.ts'
import { ARCHIVE, temporary } from './open.ts'
import { randomOf, seedOf } from './records.ts'
import { type Listed, listDirectory, VECTORS } from './vectors.ts'

const STRANGER = join(import.meta.dirname, 'stranger.py')
const hasPython = spawnSync('python3', ['--version']).status === 0
const SEED = seedOf(20_260)
const DAMAGED_RUNS = 32

type Line = Listed['records'][number] & Listed['bad'][number] & { readonly sha256?: string; readonly kind?: number }

const stranger = (dir: string, ...options: string[]): Line[] =>
  execFileSync('python3', [STRANGER, dir, ...options], { encoding: 'utf8', maxBuffer: 1 << 26 })
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line)

/** What our own reader finds, in the words of the stranger. */
async function ours(dir: string): Promise<Line[]> {
  const { records, bad } = await listDirectory(dir)
  const reading = await openArchiveReading(dir)
  const lines: object[] = []
  for (const record of records)
    lines.push({
      ...record,
      sha256: createHash('sha256')
        .update(await readRecordAt(reading, record))
        .digest('hex'),
    })
  await closeReading(reading)
  return [...lines, ...bad] as Line[]
}

const sorted = (lines: readonly Line[]): string[] =>
  lines.map(line => JSON.stringify(Object.fromEntries(Object.entries(line).sort(([a], [b]) => (a < b ? -1 : 1))))).sort()

async function same(t: ExecutionContext, dir: string, what: string): Promise<Line[]> {
  const theirs = stranger(dir)
  t.deepEqual(sorted(theirs), sorted(await ours(dir)), what)
  return theirs
}

if (hasPython) {
  test('a stranger finds every record of an archive from FORMAT-archive.md alone, byte for byte', async t => {
    const { dir, records } = await makeArchive(join(await temporary(t), 'store'))
    const found = await same(t, dir, 'intact')
    t.deepEqual(found.map(({ id }) => id).sort(), [...records.keys()].sort())
    for (const { id, sha256 } of found)
      t.is(
        sha256,
        createHash('sha256')
          .update(records.get(id) ?? '')
          .digest('hex'),
      )
    t.true(readdirSync(dir).length > 2, 'several segments')
    const byFooters = stranger(dir, '--footers')
    t.deepEqual(byFooters.map(({ id }) => id).sort(), [...records.keys()].sort())
  })

  test('a stranger reads each vector as we do', async t => {
    const dir = join(await temporary(t), VECTORS.archive)
    mkdirSync(dir)
    for (const { name, segment, records, bad } of VECTORS.vectors) {
      writeFileSync(join(dir, '00000001.segment'), Buffer.from(segment, 'hex'))
      const found = await same(t, dir, name)
      t.is(found.length, records.length + bad.length, name)
    }
  })

  test('a stranger and we agree on an archive whose directory was renamed', async t => {
    const { dir } = await makeArchive(join(await temporary(t), 'store'))
    const other = join(dir, '..', 'copy of ann')
    renameSync(dir, other)
    t.true((await same(t, other, 'renamed')).length > 10)
  })

  test(`a stranger and we agree on what is left, and on what is torn or damaged, after any damage (seed ${SEED})`, async t => {
    const home = mkdtempSync(join(tmpdir(), 'holdfast-stranger-'))
    t.teardown(() => rmSync(home, { recursive: true, force: true }))
    const { dir } = await makeArchive(join(home, 'store'), { ...SMALL, backups: 3 })
    const random = randomOf(SEED)
    for (let run = 0; run < DAMAGED_RUNS; run++) {
      const damaged = join(home, `${run}`, ARCHIVE)
      cpSync(dir, damaged, { recursive: true })
      const what = [harm(damaged, random), ...(random() < 0.4 ? [harm(damaged, random)] : [])].join(', ')
      await same(t, damaged, `run ${run}: ${what}`)
      rmSync(join(home, `${run}`), { recursive: true })
    }
  })
} else {
  test('(not run without python3) a stranger finds every record of an archive from FORMAT-archive.md alone', t => t.pass())
}

/** Does something to a random segment, and says what. */
function harm(dir: string, random: () => number): string {
  const names = readdirSync(dir).sort()
  const name = random() < 0.4 ? (names.at(-1) as string) : (names[Math.floor(random() * names.length)] as string)
  const path = join(dir, name)
  const content = readFileSync(path)
  const at = Math.floor(random() * content.length)
  const length = Math.min(content.length - at, 1 + Math.floor(random() * 300))
  const kinds: readonly [string, () => void][] = [
    ['flipped', () => writeFileSync(path, content.fill((content[at] ?? 0) ^ (1 << Math.floor(random() * 8)), at, at + 1))],
    ['zeros', () => writeFileSync(path, content.fill(0, at, at + length))],
    ['cut', () => truncateSync(path, at)],
    ['taken out', () => writeFileSync(path, Buffer.concat([content.subarray(0, at), content.subarray(at + length)]))],
    ['doubled', () => writeFileSync(path, Buffer.concat([content.subarray(0, at + length), content.subarray(at)]))],
    ['removed', () => rmSync(path)],
    ['copied over', () => writeFileSync(path, readFileSync(join(dir, names[Math.floor(random() * names.length)] as string)))],
  ]
  const [what, apply] = kinds[Math.floor(random() * (names.length > 1 ? kinds.length : 5))] as readonly [string, () => void]
  apply()
  return `${name} ${what} at ${at}`
}
