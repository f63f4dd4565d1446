// Writing entries that are no directories, in a worker. Invariants:
//   content is checked before it is written, or before the file gets its name: what has no more than a block is written
//   under its own name at once, with a mode of its own until it is complete; all else has a temporary name until then;
//   what was there before is only ever replaced under `overwrite`, in one step.
import { closeSync, ftruncateSync, readSync, writeSync } from 'node:fs'
import { entryAt, TYPE, TYPE_MASK } from '#format/page.ts'
import { temporaryPath } from './assembly.ts'
import { type OnConflict, otherPath } from './conflict.ts'
import { NAMES_MAX } from './ground.ts'
import { type LoadedPage, metadataAt, placeOf, regionsOf } from './loaded-page.ts'
import { forEachRun } from './regions.ts'
import { INCOMPLETE_MODE, type Metadata, type Target } from './target.ts'
import { errnoOf } from './target-errors.ts'

const NOTHING = Buffer.alloc(0)

/** Where an entry ended up; undefined if what was there was left alone (`skip`). */
export type Placed = string | undefined

export function createPlacing(target: Target, onConflict: OnConflict, isResume: boolean) {
  /** The file of the last piece: the next piece is mostly of the same. */
  let open: { path: string; fd: number } | undefined

  const closeOpen = (): void => {
    if (open) closeSync(open.fd)
    open = undefined
  }

  /** Tries names until one is free. `place` must fail with EEXIST if its name is taken. */
  const atFreeName = (path: string, place: (at: string) => void): Placed => {
    for (let n = 0; n <= NAMES_MAX; n++) {
      const at = n === 0 ? path : otherPath(path, n)
      try {
        place(at)
        return at
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error
        if (onConflict === 'skip') return undefined
      }
    }
    throw Object.assign(new Error('no free name'), { code: 'EEXIST' })
  }

  /** Puts something finished in the place of whatever is there; if that can't be, it is removed. */
  const moveOver = (temporary: string, path: string): void => {
    try {
      target.moveOver(temporary, path)
    } catch (error) {
      target.remove(temporary)
      throw error
    }
  }

  /** Gives a finished temporary file its name. */
  const settle = (temporary: string, path: string): Placed => {
    if (onConflict === 'overwrite') {
      moveOver(temporary, path)
      return path
    }
    const placed = atFreeName(path, at => target.moveNew(temporary, at))
    if (placed === undefined) target.remove(temporary)
    return placed
  }

  /** Writes a new file under this name; while it is incomplete, its mode says so. EEXIST if the name is taken. */
  const writeAt = (path: string, entry: Metadata, content: Buffer): void => {
    const fd = isResume ? createOverRest(path) : target.create(path, INCOMPLETE_MODE)
    try {
      writeFully(fd, content, 0)
      target.describeFile(path, fd, entry)
    } catch (error) {
      target.remove(path)
      throw error
    } finally {
      closeSync(fd)
    }
  }

  /** An earlier run may have been killed while it wrote this very file. */
  const createOverRest = (path: string): number => {
    const stats = target.stat(path)
    if (stats?.isFile() && (stats.mode & 0o7777) === INCOMPLETE_MODE && stats.nlink === 1) target.remove(path)
    return target.create(path, INCOMPLETE_MODE)
  }

  const writeNew = (path: string, entry: Metadata, content: Buffer): Placed => {
    if (onConflict !== 'overwrite') return atFreeName(path, at => writeAt(at, entry, content))
    const temporary = temporaryPath(path, undefined)
    target.remove(temporary)
    writeAt(temporary, entry, content)
    return settle(temporary, path)
  }

  const isTaken = (path: string): boolean => onConflict === 'skip' && target.stat(path) !== undefined

  return {
    /** A file whose whole content is at hand. */
    placeWhole(loaded: LoadedPage, index: number, content: Buffer): Placed {
      return writeNew(placeOf(loaded, index), metadataAt(loaded, index), content)
    },

    /** Anything without content: an empty file, a symbolic link, a FIFO, a device node. */
    placePlain(loaded: LoadedPage, index: number): Placed {
      const path = placeOf(loaded, index)
      const entry = entryAt(loaded.page, index)
      if ((entry.mode & TYPE_MASK) === TYPE.file) return writeNew(path, entry, NOTHING)
      const make = (at: string): void => {
        if (entry.target !== undefined) target.makeSymlink(entry.target, at)
        else target.makeNode(at, entry.mode, entry.rdev)
        try {
          target.describe(at, entry)
        } catch (error) {
          target.remove(at)
          throw error
        }
      }
      if (onConflict !== 'overwrite') return atFreeName(path, make)
      const temporary = temporaryPath(path, undefined)
      target.remove(temporary)
      make(temporary)
      moveOver(temporary, path)
      return path
    },

    /** One more name for a file that is restored already. Throws EXDEV, EMLINK or the like if that can't be. */
    placeLink(loaded: LoadedPage, index: number, to: string): Placed {
      const path = placeOf(loaded, index)
      if (onConflict === 'overwrite') {
        const temporary = temporaryPath(path, undefined)
        target.remove(temporary)
        target.link(to, temporary)
        // Renaming one name of a file over another name of it does nothing: then the temporary name stays.
        moveOver(temporary, path)
        target.remove(temporary)
        return path
      }
      if (isResume && isSameFile(target, to, path)) return path
      return atFreeName(path, at => target.link(to, at))
    },

    /** Makes the temporary file of an entry that is written piece by piece; false if it is there already and may be gone on with. */
    preparePieces(loaded: LoadedPage, index: number): 'new' | 'old' {
      const temporary = temporaryPath(placeOf(loaded, index), loaded.page.contentOf(index))
      const isContinuation = loaded.page.rare(index)?.continuation === true
      if (isResume || isContinuation) {
        const stats = target.stat(temporary)
        if (stats?.isFile() && stats.nlink === 1) return 'old'
      }
      target.remove(temporary)
      const fd = target.create(temporary, 0o600)
      try {
        ftruncateSync(fd, loaded.page.size[index] as number)
      } finally {
        closeSync(fd)
      }
      return 'new'
    },

    isSkipped: (loaded: LoadedPage, index: number): boolean => isTaken(placeOf(loaded, index)),

    /** Writes a piece of a file's content where it belongs, around the holes. */
    writePiece(loaded: LoadedPage, index: number, content_start: number, piece: Buffer): void {
      const path = temporaryPath(placeOf(loaded, index), loaded.page.contentOf(index))
      if (open?.path !== path) {
        closeOpen()
        open = { path, fd: target.open(path) }
      }
      const { fd } = open
      forEachRun(regionsOf(loaded, index), content_start, piece.length, (from, file, length) => writeFully(fd, piece.subarray(from, from + length), file))
    },

    /** All pieces are written and checked: sets metadata, and gives the file its name. `check` sees the file before. */
    finishPieces(loaded: LoadedPage, index: number, check: (fd: number) => void): Placed {
      closeOpen()
      const path = placeOf(loaded, index)
      const entry = entryAt(loaded.page, index)
      const temporary = temporaryPath(path, entry.content)
      try {
        const fd = target.open(temporary)
        try {
          ftruncateSync(fd, entry.size)
          check(fd)
          target.describeFile(temporary, fd, entry)
        } finally {
          closeSync(fd)
        }
        return settle(temporary, path)
      } catch (error) {
        target.remove(temporary)
        throw error
      }
    },

    removePieces(loaded: LoadedPage, index: number): void {
      closeOpen()
      target.remove(temporaryPath(placeOf(loaded, index), loaded.page.contentOf(index)))
    },

    closeOpen,
  }
}

export type Placing = ReturnType<typeof createPlacing>

function isSameFile(target: Target, one: string, other: string): boolean {
  const a = target.stat(one)
  const b = target.stat(other)
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev
}

function writeFully(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done)
}

/** Fills `into` from a position; false if the file ends before. */
export function readFully(fd: number, into: Buffer, position: number): boolean {
  for (let done = 0; done < into.length; ) {
    const bytes = readSync(fd, into, done, into.length - done, position + done)
    if (bytes === 0) return false
    done += bytes
  }
  return true
}
