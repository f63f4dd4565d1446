// Everything that a file can be, backed up from a real folder, through a worker into archive files, and out of them again
// by programs that are not ours.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { bytePath } from '#filesystem/system-path.ts'
import { createShelf } from '../../agent/backup/record-shelf.ts'
import { hasProgram, needing } from '../../programs.ts'
import { differences, extract, extractedFacts, type Fact, isLink, isSpecial, parseFacts, zipEntries } from './extracted.ts'
import { factsOf, makeEverything } from './tree.ts'
import { startWorkerSite, type WorkerSite } from './worker-site.ts'

const shelf = createShelf()
const tree = join(shelf.folder, 'tree')
let site: WorkerSite
let facts: Fact[] = []
test.before(async t => {
  makeEverything(tree)
  await shelf.backup([bytePath(tree)])
  t.deepEqual(shelf.unreadable, [])
  facts = parseFacts(factsOf(tree))
  t.true(facts.length > 60, `${facts.length}`)
  site = await startWorkerSite({ ...shelf, source: { archive: shelf.keys.archive } })
})
test.after.always(async () => {
  await site.close()
  shelf.close()
})

test('GNU tar makes the same files of a tar archive, in every respect', async t => {
  const file = await site.restoreTo('all.tar')
  const folder = join(site.folder, 'tar')
  await extract('tar', file, folder)
  t.deepEqual(differences(extractedFacts(folder, tree), facts, exact), [])
})

test('Python makes the same files of a tar archive, but for attributes and the last digits of times, which it does not keep', async t => {
  const file = await site.restoreTo('python.tar')
  const folder = join(site.folder, 'python')
  await extract('python tarfile', file, folder)
  const found = extractedFacts(folder, tree)
  t.deepEqual(differences(found, facts, byPython), [])
  for (const [i, fact] of facts.entries()) {
    const difference = Number((found[i]?.mtime_ns ?? 0n) - fact.mtime_ns)
    if (!isLink(fact)) t.true(Math.abs(difference) < 1_000_000, `${fact.path}: ${difference} ns`)
  }
})

const unzipTitle = 'unzip makes the same folders, files and links of a ZIP archive: bytes, names, modes, owners, and times to the second'
const unzipTest = hasProgram('unzip') ? test : test.skip
unzipTest(hasProgram('unzip') ? unzipTitle : needing(unzipTitle, 'unzip'), async t => {
  const file = await site.restoreTo('all.zip', { format: 'zip' })
  const folder = join(site.folder, 'unzip')
  await extract('unzip', file, folder)
  t.deepEqual(
    differences(
      extractedFacts(folder, tree),
      facts.filter(fact => !isSpecial(fact)),
      byUnzip,
    ),
    [],
  )
})

test('the checksum of each entry of a ZIP archive is right, and what it has no place for was told before', async t => {
  const running = site.start({ format: 'zip' })
  const begun = await running.begun
  running.output.resume()
  t.is(begun.left_out, facts.filter(isSpecial).length)
  t.is(begun.names_not_utf8, 1)
  const entries = zipEntries(await site.restoreTo('entries.zip', { format: 'zip' }))
  t.is(Object.keys(entries).length, begun.entries)
  const name = join(tree, 'odd/ünïcödé 🗄')
  const [size, mode, , digest] = entries[name.slice(1)] ?? []
  t.is(size, 4)
  t.is(digest, createHash('sha256').update(readFileSync(name)).digest('hex'))
  t.is((mode ?? 0) & 0o170000, 0o100000)
  await running.outcome
})

const YEAR_1982_S = 378_691_200n
const seconds = ({ mtime_ns }: Fact): bigint => mtime_ns / 1_000_000_000n
const exact = (fact: Fact): unknown => ({ ...fact, mtime_ns: `${fact.mtime_ns}` })
/** Python makes no second name of a link. */
const byPython = (fact: Fact): unknown => ({ ...fact, mtime_ns: '', xattrs: '', nlink: isLink(fact) ? '' : fact.nlink })
/** Outside of these years there is only the time of MS-DOS. */
const byUnzip = (fact: Fact): unknown => ({
  ...fact,
  nlink: '',
  xattrs: '',
  isSparse: false,
  mtime_ns: isLink(fact) || seconds(fact) < YEAR_1982_S || seconds(fact) >= 2n ** 31n ? '' : `${seconds(fact)}`,
})
