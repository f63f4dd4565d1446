// Exports and imports, with archives that a real agent has backed up to a real appliance.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { EXPORT_FOLDER, type Exported, exportArchives } from '#image-life/export-archives.ts'
import { type Imported, importArchives } from '#image-life/import-archives.ts'
import { type Place, placeAt } from '#image-life/place.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { startSite, type TestSite } from '../site/site.ts'
import { makeTree } from '../site/tree.ts'
import { hasDisks, needingDisks } from './disks.ts'
import { refused } from './refused.ts'

const ROOT = join(import.meta.dirname, '../..')
const MIB = 1024 * 1024
const silently = (): void => undefined
const nothing = { stopStorage: () => Promise.resolve(), startStorage: () => Promise.resolve() }

let site: TestSite
let archive: string
let keyFile: string
let place: Place
const scratch = mkdtempSync(join(tmpdir(), 'holdfast-export-'))

test.before(async () => {
  site = await startSite()
  const source = join(site.folder, 'source')
  makeTree(source, 5, 6 * MIB)
  const agent = await site.pair('laptop')
  await site.agentJson(agent, 'backup', source)
  keyFile = join(site.folder, 'ann.key')
  await site.agent(agent, 'key', 'export', '--to', keyFile)
  place = placeAt(site.home, join(site.folder, 'run'), ROOT, nothing)
  archive = readdirSync(place.archives)[0] ?? ''
})
test.after.always(async () => {
  await site.close()
  rmSync(scratch, { recursive: true, force: true })
})

const folderFor = (name: string): string => {
  const folder = join(scratch, name)
  mkdirSync(folder, { recursive: true })
  return folder
}
const exportTo = (folder: string): Promise<Exported> =>
  exportArchives(place, { folder, remount: () => Promise.resolve() }, [{ archive, user: 'ann', hostname: 'laptop' }], Date.now(), silently)

/** Every file below a folder, with its digest. */
function digestsOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return Object.fromEntries(
    files.map(entry => {
      const path = join(entry.parentPath, entry.name)
      return [path.slice(folder.length), createHash('sha256').update(readFileSync(path)).digest('hex')]
    }),
  )
}

test(needingDisks('an export restores on a computer that has nothing of ours, also from a disk that allows no programs'), async t => {
  const folder = folderFor('stick')
  await exportTo(folder)
  const back = join(scratch, 'back')
  const recover = ['--key-file', keyFile, '--to', back]
  const launcher = join(folder, EXPORT_FOLDER, 'holdfast-recover')
  // Elsewhere, with the checkout hidden, and the folder mounted so that nothing in it may be run.
  const script = `mount -t tmpfs none "$1" && mount --bind "$2" "$2" && mount -o remount,bind,noexec "$2" && shift 2 && exec sh "$@"`
  const { status, stderr } = hasDisks
    ? spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', ROOT, folder, launcher, ...recover], { encoding: 'utf8', env: { PATH: process.env['PATH'] } })
    : spawnSync('sh', [launcher, ...recover], { encoding: 'utf8' })
  t.is(status, 0, stderr)
  const source = join(site.folder, 'source')
  t.deepEqual(compareFolders(source, join(back, source), () => false).differences, [])
  t.is(execFileSync('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: join(folder, EXPORT_FOLDER, 'archives', archive), encoding: 'utf8' }), '')
  t.regex(readFileSync(join(folder, EXPORT_FOLDER, 'FORMAT.md'), 'utf8'), /^# The format/)
})

test('an export that is made again copies what is new, and puts right what was cut off or altered meanwhile', async t => {
  const folder = folderFor('again')
  const first = await exportTo(folder)
  t.true(first.copied_bytes === first.bytes && first.files > 0)
  t.is((await exportTo(folder)).copied_bytes, 0)
  const segment = join(folder, EXPORT_FOLDER, 'archives', archive, '00000001.segment')
  const { size } = statSync(segment)
  truncateSync(segment, size - 1000)
  t.is((await exportTo(folder)).copied_bytes, size)

  const bytes = readFileSync(segment)
  bytes.writeUInt8(bytes.readUInt8(5000) ^ 1, 5000)
  writeFileSync(segment, bytes)
  await refused(t, 'COPY_DIFFERS', exportTo(folder))
  t.is((await exportTo(folder)).copied_bytes, size)
  t.deepEqual(readFileSync(segment), readFileSync(join(place.archives, archive, '00000001.segment')))
})

test('what a disk has in the place of the export leads root nowhere else, and is not waited for', async t => {
  const folder = folderFor('hostile')
  const victim = join(scratch, 'victim')
  writeFileSync(victim, 'ours')
  const own = join(folder, EXPORT_FOLDER, 'archives', archive)
  mkdirSync(own, { recursive: true })
  mkdirSync(join(folder, EXPORT_FOLDER, 'program'))
  const names = [`archives/${archive}/00000001.segment.part`, 'program/package.json.part', 'README.txt.new', 'export.json.new'].map(name =>
    join(folder, EXPORT_FOLDER, name),
  )
  for (const name of names) symlinkSync(victim, name)
  execFileSync('mkfifo', [join(own, '00000001.segment'), join(folder, EXPORT_FOLDER, 'export.json')])
  await exportTo(folder)
  t.is(readFileSync(victim, 'utf8'), 'ours')

  const home = folderFor('careful-appliance')
  mkdirSync(join(home, 'storage/archives'), { recursive: true, mode: 0o700 })
  const importIt = (): Promise<Imported> => importArchives(placeAt(home, join(home, 'run'), ROOT, nothing), folder, [], silently)
  const inPlaceOf = async (name: string, code: string, ...programs: readonly (readonly [string, ...string[]])[]): Promise<void> => {
    const path = join(folder, EXPORT_FOLDER, name)
    const whole = readFileSync(path)
    for (const [program, ...parameters] of programs) {
      rmSync(path)
      execFileSync(program, [...parameters, path])
      await refused(t, code, importIt())
    }
    rmSync(path)
    writeFileSync(path, whole)
  }
  const tooLong = ['truncate', '--size=1T'] as const
  await inPlaceOf('export.json', 'EXPORT_INVALID', ['mkfifo'], tooLong, ['ln', '-s', victim])
  await inPlaceOf(`archives/${archive}/SHA256SUMS`, 'EXPORT_DAMAGED', ['mkfifo'], tooLong, ['ln', '-s', victim])
  await inPlaceOf(`archives/${archive}/00000001.segment`, 'EXPORT_DAMAGED', ['mkfifo'], ['ln', '-s', victim])
  t.is((await importIt()).imported.length, 1)
})

const onSmallDisk = hasDisks ? test : test.skip
onSmallDisk(needingDisks('an export onto a disk that is too small says so before it writes'), async t => {
  const image = join(scratch, 'small.img')
  writeFileSync(image, '')
  truncateSync(image, 40 * MIB)
  execFileSync('mkfs.ext4', ['-q', image])
  const folder = folderFor('small')
  execFileSync('mount', ['-o', 'loop', image, folder])
  try {
    await refused(t, 'TARGET_TOO_FULL', exportTo(folder))
    t.deepEqual(readdirSync(folder), ['lost+found'])
  } finally {
    execFileSync('umount', [folder])
  }
})

test('archives are imported whole or not at all, once, and an interrupted import goes on', async t => {
  const folder = folderFor('moving')
  await exportTo(folder)
  const home = folderFor('new-appliance')
  mkdirSync(join(home, 'storage/archives'), { recursive: true, mode: 0o700 })
  const there = placeAt(home, join(home, 'run'), ROOT, nothing)
  const importIt = (): Promise<Imported> => importArchives(there, folder, [], silently)
  const segment = join(folder, EXPORT_FOLDER, 'archives', archive, '00000001.segment')
  const whole = readFileSync(segment)
  const altered = Buffer.from(whole)
  altered.writeUInt8(altered.readUInt8(5000) ^ 1, 5000)
  writeFileSync(segment, altered)
  await refused(t, 'EXPORT_DAMAGED', importIt())
  t.false(readdirSync(there.archives).includes(archive))

  writeFileSync(segment, whole)
  const one = { archive, user: 'ann', hostname: 'laptop' }
  t.deepEqual(await importIt(), { imported: [one], here_already: [] })
  t.deepEqual(digestsOf(join(there.archives, archive)), digestsOf(join(place.archives, archive)))
  t.deepEqual(readdirSync(there.archives), [archive])
  t.deepEqual(await importIt(), { imported: [], here_already: [one] })
  await refused(t, 'EXPORT_INVALID', importArchives(there, scratch, [], silently))
})
