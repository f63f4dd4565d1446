// The files of archives, as FORMAT-archive.md lays them out: one folder an archive, segments and nothing else. Segments
// are never changed but at the end of the newest, so a file of the same length and time is the same file.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

const ARCHIVE = /^[0-9a-f]{32}$/
const SEGMENT = /^[0-9]{8,}\.segment$/

export type Segment = { readonly archive: string; readonly name: string; readonly bytes: number; readonly changed_ms: number }

/** Ids of the archives in a folder, sorted. */
export const archivesIn = async (folder: string): Promise<string[]> => (await readdir(folder)).filter(name => ARCHIVE.test(name)).sort()

/** The segments of an archive, in order of their numbers. */
export async function segmentsOf(folder: string, archive: string): Promise<Segment[]> {
  const entries = await readdir(join(folder, archive), { withFileTypes: true })
  const names = entries.flatMap(entry => (entry.isFile() && SEGMENT.test(entry.name) ? [entry.name] : []))
  names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  return Promise.all(
    names.map(async name => {
      const { size, mtimeMs } = await stat(join(folder, archive, name))
      return { archive, name, bytes: size, changed_ms: mtimeMs }
    }),
  )
}
