// Files that are there whole or not at all, and survive a power cut.
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Writes a file (0600); until this returns the old one stays. */
export function writeWhole(file: string, content: string | Uint8Array): void {
  const fd = openSync(`${file}.new`, 'w', 0o600)
  try {
    writeFileSync(fd, content)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  placeWhole(`${file}.new`, file)
}

/** Gives a file that is whole and synced its final name. */
export function placeWhole(from: string, file: string): void {
  renameSync(from, file)
  const folder = openSync(dirname(file), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** Writes a file (0600) that is not there yet. @returns whether it was not */
export function writeNew(file: string, content: string | Uint8Array): boolean {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  writeWhole(file, content)
  return true
}
