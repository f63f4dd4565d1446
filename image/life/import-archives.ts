// Archives from the export of another appliance. Each is here whole, or not at all; an archive that is here already is
// left alone. What is imported belongs to nobody until the authority is told whose it is, and the user takes it over.
import { chown, mkdir, rename, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Say } from '#image-update/act.ts'
import { readSmall } from '#image-update/regular-file.ts'
import { archivesIn, segmentsOf } from './archive-files.ts'
import { copyFile, digestOf } from './copying.ts'
import { syncFolder } from './durable.ts'
import { fault } from './errors.ts'
import { EXPORT_FOLDER, type ExportedArchive, readExportInfo, SUMS } from './export-archives.ts'
import type { Place } from './place.ts'

/** Left free: the storage node keeps a reserve. */
const SPARE_BYTES = 1024 * 1024 * 1024
/** Of an archive of more than 10 TiB. */
const SUMS_BYTES_MAX = 16 * 1024 * 1024
const SUM = /^([0-9a-f]{64}) {2}([0-9]{8,}\.segment)$/

export type Imported = { readonly imported: readonly ExportedArchive[]; readonly here_already: readonly ExportedArchive[] }

/**
 * @param wanted  ids; all if there are none
 * @throws EXPORT_INVALID, EXPORT_DAMAGED  archives before this one were imported; TARGET_TOO_FULL
 */
export async function importArchives(place: Place, source: string, wanted: readonly string[], say: Say): Promise<Imported> {
  const folder = join(source, EXPORT_FOLDER)
  const info = await readExportInfo(folder)
  const lying = new Set(await archivesIn(join(folder, 'archives')))
  const here = new Set(await archivesIn(place.archives))
  const chosen = info.archives.filter(({ archive }) => lying.has(archive) && (wanted.length === 0 || wanted.includes(archive)))
  const due = chosen.filter(({ archive }) => !here.has(archive))
  const owner = await stat(join(place.home, 'storage'))
  for (const one of due) await importOne(place, join(folder, 'archives', one.archive), one.archive, owner, say)
  return { imported: due, here_already: chosen.filter(({ archive }) => here.has(archive)) }
}

async function importOne(place: Place, from: string, archive: string, owner: { uid: number; gid: number }, say: Say): Promise<void> {
  const sums = await readSums(join(from, SUMS))
  const segments = await segmentsOf(join(from, '..'), archive)
  const total_bytes = segments.reduce((sum, { bytes }) => sum + bytes, 0)
  const { bavail, bsize } = await statfs(place.archives)
  if (bavail * bsize < total_bytes + SPARE_BYTES)
    throw fault('TARGET_TOO_FULL', { expected: `${total_bytes + SPARE_BYTES} bytes for ${archive}`, found: `${bavail * bsize}` })
  // The storage node looks at no name but an archive's.
  const beside = join(place.archives, `.import-${archive}`)
  await mkdir(beside, { recursive: true, mode: 0o700 })
  await chown(beside, owner.uid, owner.gid)
  const named = new Set(segments.map(({ name }) => name))
  for (const name of sums.keys()) if (!named.has(name)) throw fault('EXPORT_DAMAGED', { found: `${archive}/${name} is missing` })
  let done_bytes = 0
  for (const { name, bytes } of segments) {
    const expected = sums.get(name)
    const to = join(beside, name)
    // Of an import that was interrupted.
    const there = await digestOf(to).catch(() => undefined)
    const { sha256 } = there?.sha256 === expected && there !== undefined ? there : await copyFile(join(from, name), to, bytes, { mode: 0o600, owner })
    if (sha256 !== expected) throw fault('EXPORT_DAMAGED', { found: `${archive}/${name}` })
    done_bytes += bytes
    say({ step: 'copy', archive, done_bytes, total_bytes })
  }
  await syncFolder(beside)
  await rename(beside, join(place.archives, archive))
  await syncFolder(place.archives)
}

async function readSums(path: string): Promise<Map<string, string>> {
  const text = await readSmall(path, SUMS_BYTES_MAX).catch((cause: unknown) => {
    throw fault('EXPORT_DAMAGED', { found: `no ${SUMS}`, cause })
  })
  const sums = new Map<string, string>()
  for (const line of text.split('\n').filter(Boolean)) {
    const [, sha256, name] = SUM.exec(line) ?? []
    if (sha256 === undefined || name === undefined) throw fault('EXPORT_DAMAGED', { found: SUMS })
    sums.set(name, sha256)
  }
  return sums
}
