// What goes wrong at the target: one file's trouble is told and passed over, a full volume ends the restore.
import { Fault } from '#protocol/fault.ts'
import type { Breakage } from './assembly.ts'

export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

/** Nothing more can be written, whatever file it is. */
export const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT', 'EROFS'].includes(errnoOf(error) ?? '')

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'not permitted to write there',
  EPERM: 'only root may do this',
  EEXIST: 'something else is in its place',
  EISDIR: 'a directory is in its place',
  ENOTDIR: 'a part of its path is no directory, or a symbolic link, which is never followed',
  ELOOP: 'a part of its path is a symbolic link, which is never followed',
  ENAMETOOLONG: 'its name or path is too long for the target',
  EFBIG: 'the target volume takes no file as large as this',
  EILSEQ: 'the target volume takes no such name',
}

/** What to say about a file that could not be restored, because of the target. Anything that is no system error is our own mistake. */
export function breakageOf(error: unknown): Breakage {
  const code = errnoOf(error)
  if (code === undefined || (!(error instanceof Fault) && !/^E[A-Z0-9]+$/.test(code))) throw error
  return { code, reason: error instanceof Fault ? error.message : (REASONS[code] ?? code), isDamage: error instanceof Fault && error.exit === 6 }
}
