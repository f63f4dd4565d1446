// The directories of a restore: made before what is in them, given their metadata after it. The main thread's part of the
// target; files are the workers' part (placing.ts).
import { mkdirSync } from 'node:fs'
import type { Entry } from '#format/page.ts'
import type { Breakage } from './assembly.ts'
import { type OnConflict, otherPath } from './conflict.ts'
import { fault } from './errors.ts'
import { type Relocation, relocated } from './relocations.ts'
import { openTarget, type Target } from './target.ts'
import { breakageOf, errnoOf, isFull } from './target-errors.ts'

/** Other names that are tried before giving up. */
export const NAMES_MAX = 1000

/** @throws TARGET_UNUSABLE */
export function createGround(directory: string, onConflict: OnConflict, isResume: boolean) {
  const target = makeTarget(directory)
  const relocations: Relocation[] = []
  /** Directories that were there before and keep their metadata. */
  const kept = new Set<string>()

  const make = (path: string): string => {
    for (let n = 0; n <= NAMES_MAX; n++) {
      const place = n === 0 ? path : otherPath(path, n)
      try {
        if (target.makeDirectory(place) === 'found' && onConflict === 'skip' && !isResume) kept.add(path)
        return place
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST' || onConflict === 'skip') throw error
        if (onConflict === 'overwrite') {
          target.remove(place)
          n--
        }
      }
    }
    throw Object.assign(new Error('no free name'), { code: 'EEXIST' })
  }
  const attempt = <T>(act: () => T): T | Breakage => {
    try {
      return act()
    } catch (error) {
      if (isFull(error)) throw fault('TARGET_FULL', { found: errnoOf(error) ?? '', cause: error })
      return breakageOf(error)
    }
  }

  return {
    relocations,
    makeDirectory: (path: string): { path: string } | Breakage =>
      attempt(() => {
        const wanted = relocated(path, relocations)
        const place = make(wanted)
        if (place !== wanted) relocations.push([path, place])
        return { path: place }
      }),
    ensureFolder: (path: string): Breakage | undefined =>
      attempt(() => {
        target.ensureFolder(relocated(path, relocations))
        return undefined
      }),
    /** Sets what must come last: owner, mode, times. */
    finishDirectory: (entry: Entry): Breakage | undefined => {
      if (kept.delete(entry.path)) return undefined
      return attempt(() => {
        target.describe(relocated(entry.path, relocations), entry)
        return undefined
      })
    },
    close: () => target.close(),
  }
}

/** The target directory, made if it is not there. */
function makeTarget(directory: string): Target {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    return openTarget(directory)
  } catch (error) {
    throw fault('TARGET_UNUSABLE', { found: `${directory}: ${errnoOf(error) ?? String(error)}`, cause: error })
  }
}

export type RestoreGround = ReturnType<typeof createGround>
