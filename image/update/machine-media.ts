// The media of the machine.
import { constants } from 'node:fs'
import { type FileHandle, open, readdir, rm } from 'node:fs/promises'
import type { Media, MediaMode } from './media.ts'

const FLAGS: Readonly<Record<MediaMode, number>> = {
  read: constants.O_RDONLY | constants.O_DIRECT,
  append: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  // Without O_CREAT, Linux takes O_EXCL of a block device as: only if nobody has it mounted, mapped or claimed.
  claim: constants.O_RDWR | constants.O_EXCL | constants.O_DIRECT,
}

/** The media of this machine. */
export const machineMedia: Media = {
  open: async (path, mode) => {
    const handle = await open(path, FLAGS[mode], 0o600)
    return {
      write: async (pieces, position) => {
        let at = position
        for (const piece of pieces) at = await writeAll(handle, piece, at)
      },
      read: (target, position) => readAll(handle, target, position),
      datasync: () => handle.datasync(),
      close: () => handle.close(),
    }
  },
  list: folder => readdir(folder),
  remove: path => rm(path),
  syncDirectory: async folder => {
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
}

async function writeAll(handle: FileHandle, piece: Uint8Array, position: number): Promise<number> {
  for (let done = 0; done < piece.length; ) done += (await handle.write(piece, done, piece.length - done, position + done)).bytesWritten
  return position + piece.length
}

async function readAll(handle: FileHandle, target: Buffer, position: number): Promise<number> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done)
    done += bytesRead
    // What is not a whole block is the end of the file; behind it, memory is no longer aligned.
    if (bytesRead === 0 || done % 512 !== 0) return done
  }
  return target.length
}
