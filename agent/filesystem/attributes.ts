// What a file is besides its content and what stat says: symlink target, device number, extended attributes (POSIX ACLs
// are extended attributes of the system).
import { readlinkSync } from 'node:fs'
import type { FileStats } from './file-stats.ts'
import { getXattr, listXattrs } from './libc.ts'
import { systemPath } from './system-path.ts'

export type Attributes = { target?: string; rdev?: [number, number]; xattrs?: [string, Buffer][] }

/**
 * Reads them by path, without following a symlink.
 *
 * @param onUnreadable  extended attributes that can't be read: the rest is returned all the same
 * @throws NodeJS.ErrnoException  a symlink's target can't be read
 */
export function readAttributes(path: string, stats: FileStats, onUnreadable: (error: unknown) => void): Attributes {
  const attributes: Attributes = {}
  if (stats.isSymlink()) attributes.target = readlinkSync(systemPath(path), 'latin1')
  else if (stats.isDevice()) attributes.rdev = [...stats.rdev]
  try {
    const xattrs: [string, Buffer][] = []
    for (const name of listXattrs(path).sort()) {
      const value = getXattr(path, name)
      if (value !== undefined) xattrs.push([name, value])
    }
    if (xattrs.length > 0) attributes.xattrs = xattrs
  } catch (error) {
    onUnreadable(error)
  }
  return attributes
}
