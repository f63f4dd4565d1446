// Segments that are open for reading, of all archives of a store. A bounded number stays open, least recently used first
// out; a file that somebody is reading is never closed under them.
import type { Disk, DiskFile } from './disk.ts'

type OpenFile = { readonly file: Promise<DiskFile>; readers: number; isDropped: boolean }
export type OpenFiles = { readonly disk: Disk; readonly files: Map<string, OpenFile>; readonly files_max: number }

const OPEN_FILES_MAX = 128

/** An empty set of open files. */
export const createOpenFiles = (disk: Disk): OpenFiles => ({ disk, files: new Map(), files_max: OPEN_FILES_MAX })

/**
 * Runs `use` with the file open for reading.
 *
 * @throws errors of the disk, and those of `use`
 */
export async function withFile<Result>(open_files: OpenFiles, path: string, use: (file: DiskFile) => Promise<Result>): Promise<Result> {
  const { files } = open_files
  const entry = files.get(path) ?? { file: open_files.disk.open(path, 'read'), readers: 0, isDropped: false }
  files.delete(path)
  files.set(path, entry)
  entry.readers++
  trim(open_files)
  try {
    return await use(await entry.file)
  } catch (error) {
    void drop(open_files, path)
    throw error
  } finally {
    entry.readers--
    if (entry.isDropped && entry.readers === 0) await closeQuietly(entry)
  }
}

/** Closes all files; those in use once their readers are done. */
export async function closeFiles(open_files: OpenFiles): Promise<void> {
  await Promise.all([...open_files.files.keys()].map(path => drop(open_files, path)))
}

function trim(open_files: OpenFiles): void {
  for (const [path, entry] of open_files.files) {
    if (open_files.files.size <= open_files.files_max) return
    if (entry.readers === 0) void drop(open_files, path)
  }
}

/** Forgets a file, and closes it unless somebody is reading it: then its last reader does. */
async function drop(open_files: OpenFiles, path: string): Promise<void> {
  const entry = open_files.files.get(path)
  if (!entry) return
  open_files.files.delete(path)
  entry.isDropped = true
  if (entry.readers === 0) await closeQuietly(entry)
}

/** A file that was only read loses nothing when its close fails. */
async function closeQuietly(entry: OpenFile): Promise<void> {
  try {
    await (await entry.file).close()
  } catch {
    // opening it failed, and its reader was told
  }
}
