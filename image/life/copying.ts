// Copying with proof: a copy is on the disk when it is said to be done, its digest is known from what was read, and it can
// be read back and compared. Memory: one piece.
import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { openRegular } from '#image-update/regular-file.ts'

const PIECE_BYTES = 1024 * 1024

export type Owner = { readonly uid: number; readonly gid: number }
export type CopyOptions = { readonly mode: number; readonly owner?: Owner; readonly isSynced?: boolean }
export type Copied = { readonly bytes: number; readonly sha256: string }

async function* piecesOf(file: FileHandle, bytes_max: number): AsyncGenerator<Buffer> {
  const piece = Buffer.allocUnsafe(PIECE_BYTES)
  for (let at = 0; at < bytes_max; ) {
    const { bytesRead } = await file.read(piece, 0, Math.min(PIECE_BYTES, bytes_max - at), at)
    if (bytesRead === 0) return
    at += bytesRead
    yield piece.subarray(0, bytesRead)
  }
}

/**
 * Copies the first bytes of a file; what grows meanwhile is left out. Under its name the copy is whole, or not there; its
 * name is durable once its folder is synced.
 *
 * @param mode     of the copy
 * @param isSynced  whether the copy survives a power cut; else the caller compares what is there before relying on it
 */
export async function copyFile(from: string, to: string, bytes: number, { mode, owner, isSynced = true }: CopyOptions): Promise<Copied> {
  const beside = `${to}.part`
  const source = await openRegular(from)
  try {
    // Whatever bears this name is not written into.
    await rm(beside, { force: true })
    const target = await open(beside, 'wx', mode)
    const hash = createHash('sha256')
    let copied_bytes = 0
    try {
      for await (const piece of piecesOf(source, bytes)) {
        hash.update(piece)
        for (let done = 0; done < piece.length; ) done += (await target.write(piece, done, piece.length - done)).bytesWritten
        copied_bytes += piece.length
      }
      if (owner) await target.chown(owner.uid, owner.gid)
      if (isSynced) await target.sync()
    } finally {
      await target.close()
    }
    await rename(beside, to)
    return { bytes: copied_bytes, sha256: hash.digest('hex') }
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined)
    throw error
  } finally {
    await source.close()
  }
}

/** The digest of the first bytes of a file, or of all of it. */
export async function digestOf(path: string, bytes = Number.POSITIVE_INFINITY): Promise<Copied> {
  const file = await openRegular(path)
  try {
    const hash = createHash('sha256')
    let read_bytes = 0
    for await (const piece of piecesOf(file, bytes)) {
      hash.update(piece)
      read_bytes += piece.length
    }
    return { bytes: read_bytes, sha256: hash.digest('hex') }
  } finally {
    await file.close()
  }
}
