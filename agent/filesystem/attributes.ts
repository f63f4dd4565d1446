// What a file is besides its content and what stat says: symlink target, device number, extended attributes (POSIX ACLs
// are extended attributes of the system).
import { type BigIntStats, readlinkSync } from 'node:fs'
import { getXattr, listXattrs, majorMinor } from './libc.ts'
import { systemPath } from './system-path.ts'

export type Attributes = { target?: string; rdev?: [number, number]; xattrs?: [string, Buffer][] }

/**
 * Reads them by path, without following a symlink.
 *
 * @throws NodeJS.ErrnoException
 */
export function readAttributes(path: string, stats: BigIntStats): Attributes {
  const attributes: Attributes = {}
  if (stats.isSymbolicLink()) attributes.target = readlinkSync(systemPath(path), 'latin1')
  else if (stats.isCharacterDevice() || stats.isBlockDevice()) attributes.rdev = majorMinor(stats.rdev)
  const xattrs: [string, Buffer][] = []
  for (const name of listXattrs(path).sort()) {
    const value = getXattr(path, name)
    if (value !== undefined) xattrs.push([name, value])
  }
  if (xattrs.length > 0) attributes.xattrs = xattrs
  return attributes
}
