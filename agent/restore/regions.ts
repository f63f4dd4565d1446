// Where the bytes of a file's content lie in the file. Holes are not stored: the extents of a file, joined, are its
// content without the holes. Here a position in that content becomes positions in the file.

export type Hole = readonly [offset: number, length: number]
export type Region = { readonly content: number; readonly file: number; readonly length: number }

/** The regions between the holes, in order; content is where a region begins in the joined extents. Holes out of order are ignored. */
export function dataRegions(holes: readonly Hole[] | undefined, size: number): Region[] {
  const regions: Region[] = []
  let content = 0
  let file = 0
  for (const [offset, length] of holes ?? []) {
    if (offset < file) continue
    if (offset > file) {
      regions.push({ content, file, length: offset - file })
      content += offset - file
    }
    file = offset + length
  }
  // The last region takes all that is left: a file that grew while it was read may be longer than its size says.
  if (file < size || regions.length === 0) regions.push({ content, file, length: Number.MAX_SAFE_INTEGER - file })
  return regions
}

/** Calls `write` for each run of the file that `length` bytes of content, beginning at `content`, lie in. */
export function forEachRun(regions: readonly Region[], content: number, length: number, write: (from: number, file: number, length: number) => void): void {
  let low = 0
  for (let high = regions.length; low + 1 < high; ) {
    const middle = (low + high) >>> 1
    if ((regions[middle] as Region).content <= content) low = middle
    else high = middle
  }
  let done = 0
  for (let i = low; i < regions.length && done < length; i++) {
    const region = regions[i] as Region
    const into = content + done - region.content
    const run = Math.min(length - done, region.length - into)
    if (run > 0) write(done, region.file + into, run)
    done += Math.max(run, 0)
  }
}
