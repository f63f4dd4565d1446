// Directories that were restored under another name, because their place was taken by something else.
import { isWithin } from '#format/path-order.ts'

export type Relocation = readonly [from: string, to: string]

/** Where a path of the snapshot really is; the innermost relocation counts. Byte strings. */
export function relocated(path: string, relocations: readonly Relocation[]): string {
  let best: Relocation | undefined
  for (const relocation of relocations) if (isWithin(path, relocation[0]) && (!best || relocation[0].length > best[0].length)) best = relocation
  return best ? best[1] + path.slice(best[0].length) : path
}
