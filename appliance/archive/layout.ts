// The layout file of a store: one line that says which version of the layout it has, so that an older program refuses a
// newer store instead of misreading it. Written once, beside its place and renamed there, so it is whole or not there.
import { join } from 'node:path'
import { type Disk, type DiskFile, systemCode } from './disk.ts'
import { fault } from './errors.ts'

export const LAYOUT_NAME = 'layout'
export const LAYOUT_VERSION = 1
const LAYOUT_LINE = /^holdfast store (\d{1,9})\n$/
const LAYOUT_BYTES_MAX = 64

/** The directory of all archives of a store. */
export const archivesDir = (home_dir: string): string => join(home_dir, 'archives')

/** The content of the layout file. */
export const encodeLayout = (version: number): Buffer => Buffer.from(`holdfast store ${version}\n`)

/**
 * Checks the store's layout file, and writes it if there is none. Durable when it returns.
 *
 * @throws STORE_NEWER  written by a newer version; STORE_INVALID  not a layout file
 */
export async function ensureLayout(disk: Disk, home_dir: string): Promise<void> {
  const path = join(home_dir, LAYOUT_NAME)
  const found = await readLayout(disk, path)
  if (found === undefined) {
    await writeLayout(disk, home_dir, path)
    return
  }
  const version = Number(LAYOUT_LINE.exec(found)?.[1] ?? 0)
  if (version === 0) throw fault('STORE_INVALID', { expected: `"holdfast store ${LAYOUT_VERSION}" in ${path}`, found: 'something else' })
  if (version > LAYOUT_VERSION) throw fault('STORE_NEWER', { expected: `version ${LAYOUT_VERSION}`, found: `version ${version} in ${path}` })
}

async function readLayout(disk: Disk, path: string): Promise<string | undefined> {
  let file: DiskFile
  try {
    file = await disk.open(path, 'read')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const target = Buffer.alloc(LAYOUT_BYTES_MAX)
    return target.toString('latin1', 0, await file.read(target, 0))
  } finally {
    await file.close()
  }
}

async function writeLayout(disk: Disk, home_dir: string, path: string): Promise<void> {
  const beside = `${path}.new`
  await disk.remove(beside).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error
  })
  const file = await disk.open(beside, 'create')
  try {
    await file.write([encodeLayout(LAYOUT_VERSION)], 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  await disk.rename(beside, path)
  await disk.syncDirectory(home_dir)
}
