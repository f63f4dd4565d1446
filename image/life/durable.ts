// Files that are there whole or not at all, and folders whose entries survive a power cut.
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The entries of a folder survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Replaces a file; durable when it returns. Makes its folder, for root only, if it is not there. */
export async function writeWhole(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
  owner?: { readonly uid: number; readonly gid: number },
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.new`
  await rm(beside, { force: true })
  const handle = await open(beside, 'wx', mode)
  try {
    if (owner) await handle.chown(owner.uid, owner.gid)
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(beside, path)
  await syncFolder(dirname(path))
}
