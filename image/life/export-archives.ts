// Archives onto a USB disk, with the program that restores them. What is on the disk from an earlier export and the same
// is kept, so an export can be gone on with, and one made again takes what is new. It is done when everything was read
// back from the disk and compared.
import { mkdir, rm, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import type { Say } from '#image-update/act.ts'
import { readSmall } from '#image-update/regular-file.ts'
import { ArchiveId } from '#protocol/names.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { archivesIn, segmentsOf } from './archive-files.ts'
import { type Copied, copyFile, digestOf } from './copying.ts'
import { syncFolder, writeWhole } from './durable.ts'
import { fault } from './errors.ts'
import type { Place } from './place.ts'
import { programFiles, programTexts } from './recover-program.ts'

export const EXPORT_FOLDER = 'holdfast-export'
export const SUMS = 'SHA256SUMS'
/** export.json: of some ten thousand archives. */
const INFO_BYTES_MAX = 8 * 1024 * 1024
/** What a file may take besides its bytes: clusters of exFAT are large. */
const FILE_BYTES_SPARE = 128 * 1024
const ANYBODY_RUNS = 0o755
const ANYBODY_READS = 0o644
const Line = Type.String({ maxLength: 200, pattern: '^[^\\u0000-\\u001f]*$' })

/** Whose an archive is, as the authority knows it: the archives themselves do not say. */
export const ExportedArchive = Type.Object({ archive: ArchiveId, user: Line, hostname: Line }, { additionalProperties: false })
export type ExportedArchive = Static<typeof ExportedArchive>
export const ExportInfo = Type.Object({ version: Type.Literal(1), made_ms: Type.Integer({ minimum: 0 }), archives: Type.Array(ExportedArchive) })

export type Target = { readonly folder: string; remount(): Promise<void> }
export type Exported = { readonly archives: number; readonly files: number; readonly bytes: number; readonly copied_bytes: number }

/** A file of the export. */
type Item = {
  readonly from: string
  readonly to: string
  readonly bytes: number
  readonly mode: number
  readonly isSegment: boolean
  readonly archive?: string
}

/**
 * @param wanted  which archives; those that are not there are left out
 * @throws TARGET_TOO_FULL  nothing was copied yet, or what was is kept; COPY_DIFFERS  the bad copy was removed
 */
export async function exportArchives(place: Place, target: Target, wanted: readonly ExportedArchive[], now_ms: number, say: Say): Promise<Exported> {
  const there = new Set(await archivesIn(place.archives))
  const archives = wanted.filter(({ archive }) => there.has(archive))
  const folder = join(target.folder, EXPORT_FOLDER)
  const items = [...(await programItems(place, folder)), ...(await segmentItems(place, folder, archives))]
  const digests = new Map<Item, Copied>()
  const due: Item[] = []
  for (const item of items) {
    const same = await digestIfThere(item)
    if (same) digests.set(item, same)
    else due.push(item)
  }
  const total_bytes = bytesOf(due)
  const { bavail, bsize } = await statfs(target.folder)
  const needed_bytes = total_bytes + items.length * FILE_BYTES_SPARE
  if (bavail * bsize < needed_bytes) throw fault('TARGET_TOO_FULL', { expected: `${needed_bytes} bytes`, found: `${bavail * bsize} bytes` })

  await copyAll(due, digests, total_bytes, say)
  await noSpaceAsFault(async () => {
    for (const { to, text, mode } of programTexts()) await writeWhole(join(folder, to), text, mode)
    for (const { archive, user, hostname } of archives) {
      const own = items.filter(item => item.archive === archive)
      await writeWhole(
        join(folder, 'archives', archive, SUMS),
        own.map(item => `${digests.get(item)?.sha256 ?? ''}  ${basename(item.to)}\n`).join(''),
        ANYBODY_READS,
      )
      await writeWhole(join(folder, 'archives', archive, 'name.txt'), `${user} ${hostname}\n`, ANYBODY_READS)
    }
    await writeWhole(join(folder, 'export.json'), JSON.stringify({ version: 1, made_ms: now_ms, archives: await withEarlier(folder, archives) }), ANYBODY_READS)
  })

  await target.remount()
  let done_bytes = 0
  for (const [{ to, bytes }, { sha256 }] of digests) {
    if ((await digestOf(to)).sha256 !== sha256) {
      // Only so does the next export write it again.
      await rm(to, { force: true })
      throw fault('COPY_DIFFERS', { found: relative(folder, to) })
    }
    done_bytes += bytes
    say({ step: 'check', done_bytes, total_bytes: bytesOf(items) })
  }
  const segments = items.filter(({ isSegment }) => isSegment)
  return { archives: archives.length, files: segments.length, bytes: bytesOf(segments), copied_bytes: bytesOf(due.filter(({ isSegment }) => isSegment)) }
}

async function programItems(place: Place, folder: string): Promise<Item[]> {
  return Promise.all(
    (await programFiles(place)).map(async ({ from, to }) => {
      const { size, mode } = await stat(from)
      return { from, to: join(folder, to), bytes: size, mode: (mode & 0o111) === 0 ? ANYBODY_READS : ANYBODY_RUNS, isSegment: false }
    }),
  )
}

async function segmentItems(place: Place, folder: string, archives: readonly ExportedArchive[]): Promise<Item[]> {
  const segments = (await Promise.all(archives.map(({ archive }) => segmentsOf(place.archives, archive)))).flat()
  return segments.map(({ archive, name, bytes }) => ({
    from: join(place.archives, archive, name),
    to: join(folder, 'archives', archive, name),
    bytes,
    mode: ANYBODY_READS,
    isSegment: true,
    archive,
  }))
}

/**
 * The digest of where it comes from, if it need not be copied. A segment of the same length is the same, as far as can be
 * told before it is read back; a file of the program may be of another version.
 */
async function digestIfThere({ from, to, bytes, isSegment }: Item): Promise<Copied | undefined> {
  const found = await stat(to).catch(() => undefined)
  if (found?.size !== bytes) return undefined
  const wanted = await digestOf(from, bytes)
  return isSegment || (await digestOf(to)).sha256 === wanted.sha256 ? wanted : undefined
}

async function copyAll(due: readonly Item[], digests: Map<Item, Copied>, total_bytes: number, say: Say): Promise<void> {
  const folders = new Set<string>()
  let done_bytes = 0
  await noSpaceAsFault(async () => {
    for (const item of due) {
      const folder = dirname(item.to)
      if (!folders.has(folder)) await mkdir(folder, { recursive: true })
      folders.add(folder)
      digests.set(item, await copyFile(item.from, item.to, item.bytes, { mode: item.mode, isSynced: item.isSegment }))
      done_bytes += item.bytes
      say({ step: 'copy', done_bytes, total_bytes })
    }
    for (const folder of folders) await syncFolder(folder)
  })
}

const bytesOf = (items: readonly Item[]): number => items.reduce((sum, { bytes }) => sum + bytes, 0)

/** Archives of earlier exports stay, and stay named. */
async function withEarlier(folder: string, archives: readonly ExportedArchive[]): Promise<readonly ExportedArchive[]> {
  const before = await readExportInfo(folder).catch(() => undefined)
  return [...archives, ...(before?.archives ?? []).filter(one => !archives.some(({ archive }) => archive === one.archive))]
}

async function noSpaceAsFault<Result>(act: () => Promise<Result>): Promise<Result> {
  try {
    return await act()
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? fault('TARGET_TOO_FULL', { found: 'a full disk', cause: error }) : error
  }
}

export async function readExportInfo(folder: string): Promise<Static<typeof ExportInfo>> {
  let value: unknown
  try {
    value = JSON.parse(await readSmall(join(folder, 'export.json'), INFO_BYTES_MAX))
  } catch (cause) {
    throw fault('EXPORT_INVALID', { expected: `${EXPORT_FOLDER}/export.json`, cause })
  }
  if (!Check(ExportInfo, value)) throw fault('EXPORT_INVALID', { found: 'an export.json of another shape' })
  return value
}
