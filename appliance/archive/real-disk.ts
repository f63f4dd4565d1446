// The disk of the machine, by node:fs. File handles are closed by whoever opened them.
import { type FileHandle, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises'
import { type Disk, type DiskFile, systemCode } from './disk.ts'

const FLAGS = { read: 'r', append: 'r+', create: 'wx+' } as const

/** The disk of this machine. */
export const realDisk: Disk = {
  open: async (path, mode) => fileOf(await open(path, FLAGS[mode], 0o600)),
  makeDirectory: async path => {
    try {
      await mkdir(path, { mode: 0o700 })
      return true
    } catch (error) {
      if (systemCode(error) === 'EEXIST') return false
      throw error
    }
  },
  list: path => readdir(path),
  syncDirectory: async path => {
    const handle = await open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
  rename,
  remove: path => rm(path),
  freeBytes: async path => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
}

const fileOf = (handle: FileHandle): DiskFile => ({
  write: (pieces, position) => writeAll(handle, pieces, position),
  read: (target, position) => readAll(handle, target, position),
  datasync: () => handle.datasync(),
  truncate: length => handle.truncate(length),
  size: async () => (await handle.stat()).size,
  close: () => handle.close(),
})

/** One writev; after a short write the rest is written again, so that the reason (a full disk) comes out as an error. */
async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[], position: number): Promise<void> {
  let rest = pieces
  let at = position
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest as Uint8Array[], at)
    at += bytesWritten
    rest = afterBytes(rest, bytesWritten)
  }
}

/** The pieces that are left after `bytes` of them were written. */
function afterBytes(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Uint8Array
    if (left < piece.length) return [piece.subarray(left), ...pieces.slice(i + 1)]
    left -= piece.length
  }
  return []
}

async function readAll(handle: FileHandle, target: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < target.length) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}
