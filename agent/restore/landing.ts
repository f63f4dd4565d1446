// Where a restore lands that somebody else asked for: under the directory that this device's owner named, and never outside
// of it, whatever stands there: neither '..' nor a symbolic link leads out, not one of an earlier restore either.
import { lstatSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fault } from './errors.ts'
import { errnoOf } from './target-errors.ts'

/**
 * The folder, made where it is not there.
 *
 * @param into    the owner's directory; made if it is not there
 * @param folder  relative to it, segments joined by '/'; '' is the directory itself
 * @throws TARGET_UNUSABLE
 */
export function landingOf(into: string, folder: string): string {
  const segments = folder === '' ? [] : folder.split('/')
  if (segments.some(name => name === '' || name === '.' || name === '..' || name.includes('\0')))
    throw fault('TARGET_UNUSABLE', { expected: `a folder under ${into}`, found: JSON.stringify(folder) })
  let at = into
  try {
    mkdirSync(into, { recursive: true, mode: 0o700 })
    at = realpathSync(into)
    for (const name of segments) {
      at = join(at, name)
      if (!lstatSync(at, { throwIfNoEntry: false })) mkdirSync(at, { mode: 0o700 })
      // Not what a link leads to: it could be anywhere.
      if (!lstatSync(at).isDirectory()) throw fault('TARGET_UNUSABLE', { expected: 'a directory', found: `something else at ${at}` })
    }
  } catch (error) {
    const errno = errnoOf(error)
    throw errno === undefined || errno === 'TARGET_UNUSABLE' ? error : fault('TARGET_UNUSABLE', { found: `${at}: ${errno}`, cause: error })
  }
  return at
}
