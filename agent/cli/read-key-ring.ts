// The keys in a recovery file that the user names.
import { readFileSync } from 'node:fs'
import { parseKeyFile } from '#format/key-file.ts'
import type { KeyRing } from '#format/keys.ts'
import { fault } from './errors.ts'

/** The ring is the caller's, to wipe. @throws FILE_UNUSABLE, and what a damaged recovery file has */
export function readKeyRing(path: string): KeyRing {
  const text = readFile(path)
  try {
    return parseKeyFile(text)
  } finally {
    text.fill(0)
  }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw fault('FILE_UNUSABLE', { found: `${path}: ${(error as NodeJS.ErrnoException).code ?? ''}`, cause: error })
  }
}
