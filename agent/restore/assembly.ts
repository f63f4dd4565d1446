// A file that is put together piece by piece: larger than one block, with holes, or going on over several pages. Its
// pieces go into a temporary file beside its place, which is renamed when all of them are there and checked.
// The name of the temporary file follows from path and content, so that a later run finds it again; what stands in it is
// never trusted, but hashed again (`check`).

import { type ExtentsHash, startExtentsHash } from '#format/content-hash.ts'
import type { ArchiveKeys } from '#format/keys.ts'
import type { Page } from '#format/page.ts'
import { SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { ID_BYTES } from '#protocol/record.ts'

export const TEMPORARY_PREFIX = '.holdfast-'

export type Breakage = {
  /** Code of a fault, or an errno name. */
  readonly code: string
  readonly reason: string
  /** What is stored is damaged; else the target was the trouble. */
  readonly isDamage: boolean
}

export type Assembly = {
  /** Byte string, as in the snapshot. */
  readonly path: string
  /** Its last part so far: the entry with its metadata. */
  slot: number
  index: number
  /** Stored content so far, in bytes. */
  content_bytes: number
  readonly hash: ExtentsHash
  broken: Breakage | undefined
}

/**
 * Where a file is written until it is complete: beside its place, under a name that follows from its own name and content.
 *
 * @param path  where it really will be. Byte strings
 */
export function temporaryPath(path: string, content: Buffer | undefined): string {
  const nameAt = path.lastIndexOf('/') + 1
  // FNV-1a; files of one directory with the same content must not meet.
  let hash = 0x811c9dc5
  for (let i = nameAt; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193)
  return `${path.slice(0, nameAt)}${TEMPORARY_PREFIX}${content?.toString('hex', 0, 12) ?? ''}${(hash >>> 0).toString(16)}`
}

export const createAssembly = (keys: ArchiveKeys, path: string): Assembly => ({
  path,
  slot: 0,
  index: 0,
  content_bytes: 0,
  hash: startExtentsHash(keys),
  broken: undefined,
})

/** Adds the extents of one part, in order. */
export function addPart(assembly: Assembly, page: Page, slot: number, index: number): void {
  assembly.slot = slot
  assembly.index = index
  for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) {
    const at = (page.extentBlock[extent] as number) * ID_BYTES
    const length = page.extentLength[extent] as number
    assembly.hash.add(page.blocks.subarray(at, at + ID_BYTES), page.extentOffset[extent] as number, length)
    assembly.content_bytes += length
  }
}

/** How much of a file is stored: all but its holes, in bytes. */
export function storedBytes(page: Page, index: number): number {
  let bytes = page.size[index] as number
  for (const [, length] of page.rare(index)?.holes ?? []) bytes -= length
  return bytes
}

/** Whether the file goes on in the next page. */
export const goesOn = (assembly: Assembly, page: Page, index: number): boolean => index === page.count - 1 && assembly.content_bytes < storedBytes(page, index)

/**
 * What is wrong with a complete file, as far as its extents tell: for large files that is all, since each block is
 * checked against its id. Content under SMALL_FILE_BYTES is hashed itself, when it was read back.
 */
export function checkAssembly(assembly: Assembly, page: Page, index: number): Breakage | undefined {
  if (assembly.broken) return assembly.broken
  if (assembly.content_bytes !== storedBytes(page, index)) {
    return { code: 'CONTENT_MISMATCH', reason: `${storedBytes(page, index)} bytes were expected, ${assembly.content_bytes} are stored`, isDamage: true }
  }
  if (assembly.content_bytes < SMALL_FILE_BYTES) return undefined
  const content = page.contentOf(index)
  if (content && assembly.hash.digest().equals(content)) return undefined
  return { code: 'CONTENT_MISMATCH', reason: 'its blocks are not those that were backed up', isDamage: true }
}
