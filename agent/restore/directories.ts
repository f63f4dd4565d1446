// Modes and times of directories are set when everything in them is restored: restoring changes their times, and their
// modes may forbid it. Entries come in path order, so a directory is complete once an entry outside of it comes.
// Invariant: memory depends on how deep the tree is, not on how many directories it has.
import type { Entry } from '#format/page.ts'
import { isWithin } from '#format/path-order.ts'

export type Directories = {
  /** The walk is at this entry: directories that it is not in are complete. */
  leave(path: string): void
  enter(entry: Entry): void
  leaveAll(): void
  /** Complete directories, children before parents; they are forgotten here. */
  takeComplete(): Entry[]
}

export function createDirectories(): Directories {
  const open: Entry[] = []
  let complete: Entry[] = []
  const leave = (path: string | undefined): void => {
    for (let last = open.at(-1); last && (path === undefined || !isWithin(path, last.path)); last = open.at(-1)) {
      complete.push(last)
      open.pop()
    }
  }
  return {
    leave,
    enter(entry) {
      leave(entry.path)
      // The memory that they lie in is the page's, and gone before the directory is complete.
      open.push(entry.xattrs ? { ...entry, xattrs: entry.xattrs.map(([name, value]) => [name, Buffer.from(value)]) } : entry)
    },
    leaveAll: () => leave(undefined),
    takeComplete() {
      const taken = complete
      complete = []
      return taken
    },
  }
}
