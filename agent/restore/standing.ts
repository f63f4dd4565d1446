// What stands at the target already, when a restore is resumed. Nothing is believed because of its name, size or time:
// everything is read again and hashed.
import { closeSync } from 'node:fs'
import { hashContent } from '#format/content-hash.ts'
import type { ArchiveKeys } from '#format/keys.ts'
import { entryAt, TYPE, TYPE_MASK } from '#format/page.ts'
import { recordId } from '#format/seal.ts'
import { BLOCK_BYTES_MAX, SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { ID_BYTES, KIND } from '#protocol/record.ts'
import { temporaryPath } from './assembly.ts'
import { otherPath } from './conflict.ts'
import { type LoadedPage, placeOf, regionsOf } from './loaded-page.ts'
import { readFully } from './placing.ts'
import { forEachRun, type Region } from './regions.ts'
import type { Target } from './target.ts'
import { errnoOf } from './target-errors.ts'

/** Other names under which an earlier run may have put a file. */
const NAMES_LOOKED_AT = 8

/** Whether a temporary file holds nothing where the file has holes. */
const areHolesEmpty = (fd: number, holes: readonly (readonly [number, number])[], buffer: Buffer): boolean => {
  for (const [offset, length] of holes) {
    for (let done = 0; done < length; done += buffer.length) {
      const part = buffer.subarray(0, Math.min(buffer.length, length - done))
      if (!readFully(fd, part, offset + done) || part.some(byte => byte !== 0)) return false
    }
  }
  return true
}

export function createStanding(target: Target, keys: ArchiveKeys) {
  const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES_MAX)

  const readContent = (fd: number, regions: readonly Region[], start: number, length: number): Buffer | undefined => {
    const content = buffer.subarray(0, length)
    let isWhole = true
    forEachRun(regions, start, length, (from, file, run) => {
      isWhole &&= readFully(fd, content.subarray(from, from + run), file)
    })
    return isWhole ? content : undefined
  }

  /** Whether one extent stands in the file: only an extent that is a whole block can be told by the block's id. */
  const isExtentThere = (fd: number, loaded: LoadedPage, index: number, extent: number): boolean => {
    const { page } = loaded
    if (page.extentOffset[extent] !== 0) return false
    const content = readContent(fd, regionsOf(loaded, index), loaded.contentAt[extent] as number, page.extentLength[extent] as number)
    const at = (page.extentBlock[extent] as number) * ID_BYTES
    return content !== undefined && recordId(keys, KIND.block, content).equals(page.blocks.subarray(at, at + ID_BYTES))
  }

  /** Whether a file has exactly an entry's content. */
  const hasContent = (fd: number, loaded: LoadedPage, index: number): boolean => {
    const { page } = loaded
    const wanted = page.contentOf(index)
    let stored_bytes = 0
    for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) stored_bytes += page.extentLength[extent] as number
    const holes = page.rare(index)?.holes ?? []
    const holes_bytes = holes.reduce((sum, [, length]) => sum + length, 0)
    if (stored_bytes + holes_bytes !== page.size[index]) return false
    if (stored_bytes > 0 && stored_bytes < SMALL_FILE_BYTES) {
      const content = readContent(fd, regionsOf(loaded, index), 0, stored_bytes)
      if (!content || !wanted || !hashContent(keys, content).equals(wanted)) return false
    } else {
      for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) if (!isExtentThere(fd, loaded, index, extent)) return false
    }
    return areHolesEmpty(fd, holes, buffer)
  }

  const isThere = (loaded: LoadedPage, index: number, path: string): boolean => {
    const { page } = loaded
    const stats = target.stat(path)
    const entry = entryAt(page, index)
    if (!stats || (stats.mode & TYPE_MASK) !== (entry.mode & TYPE_MASK)) return false
    if ((entry.mode & TYPE_MASK) === TYPE.symlink) {
      if (target.readLink(path) !== entry.target) return false
    } else if ((entry.mode & TYPE_MASK) === TYPE.file) {
      if (stats.size !== entry.size) return false
      const fd = target.openRead(path)
      try {
        if (!hasContent(fd, loaded, index)) return false
      } finally {
        closeSync(fd)
      }
    } else if (entry.rdev) return false
    target.describe(path, entry)
    return true
  }

  return {
    hasContent,
    /** Where an entry stands already, complete; its metadata is set again. */
    find(loaded: LoadedPage, index: number): string | undefined {
      const path = placeOf(loaded, index)
      for (let n = 0; n <= NAMES_LOOKED_AT; n++) {
        const at = n === 0 ? path : otherPath(path, n)
        try {
          if (isThere(loaded, index, at)) return at
          if (n > 0 && target.stat(at) === undefined) return undefined
        } catch (error) {
          if (errnoOf(error) === undefined) throw error
          return undefined
        }
      }
      return undefined
    },
    /** Marks the extents of an entry that stand in its temporary file. False if the file holds what it must not, and is useless. */
    markExtents(loaded: LoadedPage, index: number, present: Uint8Array): boolean {
      const fd = target.openRead(temporaryPath(placeOf(loaded, index), loaded.page.contentOf(index)))
      try {
        if (!areHolesEmpty(fd, loaded.page.rare(index)?.holes ?? [], buffer)) return false
        for (let extent = loaded.page.extentStart(index); extent < loaded.page.extentEnd(index); extent++) {
          if (isExtentThere(fd, loaded, index, extent)) present[extent] = 1
        }
        return true
      } finally {
        closeSync(fd)
      }
    },
  }
}

export type Standing = ReturnType<typeof createStanding>
