// The disk of the machine, by node:fs. File handles are closed by whoever opened them.
import { type FileHandle, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises'
import { DIRECT_BYTES_MIN, openDirect, readDirectly, writeDirectly } from './direct-io.ts'
import { type Disk, type DiskFile, systemCode } from './disk.ts'

const FLAGS = { read: 'r', append: 'r+', create: 'wx+' } as const

/** The disk of this machine. */
export const realDisk: Disk = {
  open: async (path, mode) => {
    const handle = await open(path, FLAGS[mode], 0o600)
    return fileOf(handle, path, mode === 'read' ? 'read' : 'write')
  },
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

function fileOf(handle: FileHandle, path: string, mode: 'read' | 'write'): DiskFile {
  let opening: Promise<FileHandle | undefined> | undefined
  /** Opened when the first long write or read comes. */
  const directFor = (bytes: number): Promise<FileHandle | undefined> | undefined => {
    if (bytes < DIRECT_BYTES_MIN) return undefined
    opening ??= openDirect(path, mode)
    return opening
  }
  return {
    write: async (pieces, position) => {
      const direct = await directFor(pieces.reduce((sum, piece) => sum + piece.length, 0))
      await (direct ? writeDirectly(direct, handle, pieces, position) : writeAll(handle, pieces, position))
    },
    read: async (target, position) => {
      const direct = mode === 'read' ? await directFor(target.length) : undefined
      return direct ? readDirectly(direct, target, position) : readAll(handle, target, position)
    },
    datasync: () => handle.datasync(),
    truncate: length => handle.truncate(length),
    size: async () => (await handle.stat()).size,
    close: async () => {
      const direct = await opening?.catch(() => undefined)
      await Promise.all([handle.close(), direct?.close()])
    },
  }
}

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
