// The target directory of a restore, and the only way to it. Invariants:
//   nothing outside of it is ever opened, made, changed or removed. Each directory is opened from the one above it, and a
//   symbolic link is never followed, whoever made it and whenever: neither one that stood there before, nor one of the
//   snapshot, nor one that somebody puts there meanwhile;
//   paths are byte strings relative to the target; '' is the target itself.
// Directories are held open, and reached by /proc/self/fd, so that a name is always looked up in the very directory that
// was checked.
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { makeNode, setTimes, setTimesOfFile, setXattr } from '#filesystem/libc.ts'
import { systemPath } from '#filesystem/system-path.ts'
import { type Entry, TYPE, TYPE_MASK } from '#format/page.ts'
import { errnoOf } from './target-errors.ts'

/** Directories that are held open. */
const FOLDERS_MAX = 64
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants
/** Not even readable: a file has this mode until it is complete. */
export const INCOMPLETE_MODE = 0o1200
const S_ISGID = 0o2000
/** Linux; node:fs has no name for it. */
const O_PATH = 0o10000000

/** What is set on a file besides its content; an entry of a page has it. */
export type Metadata = Pick<Entry, 'mode' | 'uid' | 'gid' | 'mtime_ns'> & { readonly xattrs?: Entry['xattrs'] | undefined }

type Folder = {
  readonly fd: number
  /** What begins the name of everything in it: 'proc/self/fd/7/'. */
  readonly within: string
  /** Files in it get its group. */
  readonly isGroupGiven: boolean
}

export type Target = ReturnType<typeof openTarget>

/**
 * Opens a target directory that exists.
 *
 * @throws NodeJS.ErrnoException  of the system, here and in all its functions: ELOOP or ENOTDIR where a part of a path is a symbolic link
 */
export function openTarget(directory: string) {
  const uid = process.geteuid?.() ?? 0
  const gid = process.getegid?.() ?? 0
  const openFolder = (path: string | Buffer): Folder => {
    const fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    return { fd, within: `proc/self/fd/${fd}/`, isGroupGiven: (fstatSync(fd).mode & S_ISGID) !== 0 }
  }
  const root = openFolder(`${directory}/.`)
  const folders = new Map<string, Folder>()

  const folderOf = (path: string): Folder => {
    if (path === '') return root
    const known = folders.get(path)
    if (known) return known
    const slash = path.lastIndexOf('/')
    const above = folderOf(slash < 0 ? '' : path.slice(0, slash))
    const opened = openFolder(systemPath(above.within + path.slice(slash + 1)))
    folders.set(path, opened)
    return opened
  }
  /** Begins an operation: what was opened for earlier ones may be closed now, but nothing until the next one begins. */
  const begin = (): void => {
    for (const [path, { fd }] of folders) {
      if (folders.size <= FOLDERS_MAX) return
      folders.delete(path)
      closeSync(fd)
    }
  }
  const parentOf = (path: string): Folder => folderOf(path.slice(0, Math.max(0, path.lastIndexOf('/'))))
  /** A byte string that names a path without another look at the directories above it. */
  const at = (path: string): string => parentOf(path).within + path.slice(path.lastIndexOf('/') + 1)
  const stat = (path: string): Stats | undefined => {
    try {
      return lstatSync(systemPath(at(path)), { throwIfNoEntry: false })
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    }
  }
  const describeAt = (path: string, fd: number | undefined, entry: Metadata, isGroupGiven: boolean): void => {
    const isOwnerDue = uid === 0 && (entry.uid !== uid || entry.gid !== gid || isGroupGiven)
    if (isOwnerDue) {
      if (fd === undefined) lchownSync(systemPath(path), entry.uid, entry.gid)
      else fchownSync(fd, entry.uid, entry.gid)
    }
    for (const [name, value] of entry.xattrs ?? []) {
      try {
        setXattr(path, name, value)
      } catch (error) {
        // Only root may set most of them, and not every file system keeps them: what can't be set here is left out.
        if (!['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error
      }
    }
    if (fd === undefined) setTimes(path, entry.mtime_ns, entry.mtime_ns)
    else setTimesOfFile(fd, entry.mtime_ns, entry.mtime_ns)
  }

  return {
    /** 'found' if there is a directory already; EEXIST if there is something else. */
    makeDirectory(path: string): 'made' | 'found' {
      begin()
      const place = at(path)
      try {
        mkdirSync(systemPath(place), 0o700)
        return 'made'
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error
        if (lstatSync(systemPath(place)).isDirectory()) return 'found'
        throw error
      }
    },
    /** Makes whatever is missing of a directory and those above it. */
    ensureFolder(path: string): void {
      begin()
      for (let end = path.indexOf('/'); path !== ''; end = path.indexOf('/', end + 1)) {
        const part = end < 0 ? path : path.slice(0, end)
        if (!folders.has(part)) {
          try {
            mkdirSync(systemPath(at(part)), 0o755)
          } catch (error) {
            if (errnoOf(error) !== 'EEXIST') throw error
          }
          folderOf(part)
        }
        if (end < 0) return
      }
    },
    /** A new file, which nobody else can read until `describeFile`. EEXIST if the name is taken. */
    create: (path: string, mode: number): number => {
      begin()
      return openSync(systemPath(at(path)), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
    },
    open: (path: string): number => {
      begin()
      return openSync(systemPath(at(path)), O_RDWR | O_NOFOLLOW | O_NONBLOCK)
    },
    openRead: (path: string): number => {
      begin()
      return openSync(systemPath(at(path)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    },
    stat(path: string): Stats | undefined {
      begin()
      return stat(path)
    },
    readLink: (path: string): string => {
      begin()
      return readlinkSync(systemPath(at(path)), 'latin1')
    },
    /** A file, link or node; nothing if there is none. */
    remove(path: string): void {
      begin()
      try {
        unlinkSync(systemPath(at(path)))
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error
      }
    },
    /** EEXIST if the name is taken. */
    moveNew(from: string, to: string): void {
      begin()
      try {
        linkSync(systemPath(at(from)), systemPath(at(to)))
      } catch (error) {
        // Volumes without hard links: nothing better than to look first.
        if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error
        if (stat(to)) throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' })
        renameSync(systemPath(at(from)), systemPath(at(to)))
        return
      }
      unlinkSync(systemPath(at(from)))
    },
    moveOver: (from: string, to: string): void => {
      begin()
      return renameSync(systemPath(at(from)), systemPath(at(to)))
    },
    link: (from: string, to: string): void => {
      begin()
      return linkSync(systemPath(at(from)), systemPath(at(to)))
    },
    makeSymlink: (to: string, path: string): void => {
      begin()
      return symlinkSync(Buffer.from(to, 'latin1'), systemPath(at(path)))
    },
    makeNode: (path: string, mode: number, rdev: readonly [number, number] | undefined): void => {
      begin()
      return makeNode(at(path), (mode & TYPE_MASK) | 0o600, rdev?.[0] ?? 0, rdev?.[1] ?? 0)
    },
    /** Owner, attributes, times, and last the mode: then it is complete. */
    describeFile(path: string, fd: number, entry: Metadata): void {
      begin()
      describeAt(at(path), fd, entry, parentOf(path).isGroupGiven)
      fchmodSync(fd, entry.mode & 0o7777)
    },
    /** The same for anything else that stands there already. */
    describe(path: string, entry: Metadata): void {
      begin()
      const place = at(path)
      describeAt(place, undefined, entry, parentOf(path).isGroupGiven)
      if ((entry.mode & TYPE_MASK) === TYPE.symlink) return
      // By a handle that needs no permission, so that what stands there can't be exchanged for a link in between.
      const fd = openSync(systemPath(place), O_PATH | O_NOFOLLOW)
      try {
        chmodSync(`/proc/self/fd/${fd}`, entry.mode & 0o7777)
      } finally {
        closeSync(fd)
      }
    },
    close(): void {
      for (const { fd } of folders.values()) closeSync(fd)
      folders.clear()
      closeSync(root.fd)
    },
  }
}
