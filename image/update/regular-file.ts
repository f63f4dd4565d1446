// Files of a disk that may be anybody's: nothing is followed to somewhere else, nothing is waited for, and what is read
// whole is bounded.
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** Opens a regular file for reading. @throws Error  there is none, or it is something else */
export async function openRegular(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    if (!(await handle.stat()).isFile()) throw new Error(`${path} is no regular file`)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** The text of a small file. @throws Error  as openRegular; it is longer */
export async function readSmall(path: string, bytes_max: number): Promise<string> {
  const handle = await openRegular(path)
  try {
    const { size } = await handle.stat()
    if (size > bytes_max) throw new Error(`${path} is longer than ${bytes_max} bytes`)
    const bytes = Buffer.alloc(size)
    const { bytesRead } = await handle.read(bytes, 0, size, 0)
    return bytes.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}
