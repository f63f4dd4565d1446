// Files that are there whole or not at all, and stay.
import { closeSync, fchmodSync, fchownSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Writes a file whole or not at all; durable when it returns. */
export function writeDurably(file: string, content: string | Uint8Array, mode = 0o600, owner?: { readonly uid: number; readonly gid: number }): void {
  const fd = openSync(`${file}.new`, 'w', mode)
  try {
    writeSync(fd, Buffer.from(content))
    if (owner) fchownSync(fd, owner.uid, owner.gid)
    fchmodSync(fd, mode)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${file}.new`, file)
  flush(dirname(file))
}

/** Makes what a file or the list of a folder holds durable. */
export function flush(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** For /run, which is gone with the power anyway: whole or not at all for those who read meanwhile. */
export function writeShown(file: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true })
  const fd = openSync(`${file}.new`, 'w', mode)
  writeSync(fd, text)
  fchmodSync(fd, mode)
  closeSync(fd)
  renameSync(`${file}.new`, file)
}

export const remove = (file: string): void => rmSync(file, { force: true })
