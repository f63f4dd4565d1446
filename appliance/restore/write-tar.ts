// A tar archive of a snapshot's entries, in path order. Each name of a file beyond the first is a hard link.
import { type BuildingOptions, createBuilding } from './building.ts'
import { type FileContent, startContent } from './file-content.ts'
import type { Measured } from './messages.ts'
import { isFile, readParts, type Walk } from './parts.ts'
import { isUtf8, TAR_END, tarEntry } from './tar.ts'

const nothing = (): void => {}

/** How long the archive will be; no block is read for it. */
export async function measureTar(walk: Omit<Walk, 'isLinking'>): Promise<Measured> {
  const measured = { bytes: TAR_END.length, entries: 0, left_out: 0, names_not_utf8: 0 }
  for await (const { entry, isFirst } of readParts({ ...walk, isLinking: true })) {
    if (!isFirst) continue
    measured.bytes += tarEntry(entry).bytes
    measured.entries++
    if (!isUtf8(entry.path)) measured.names_not_utf8++
  }
  return measured
}

/** Writes it, from the wanted byte on. */
export async function writeTar(walk: Omit<Walk, 'isLinking'>, options: BuildingOptions): Promise<void> {
  const building = createBuilding(options)
  /** The file whose parts come; none if it is not wanted, or has no content. */
  let file: { readonly content: FileContent; readonly padding_bytes: number } | undefined
  for await (const part of readParts({ ...walk, isLinking: true })) {
    const { entry } = part
    if (part.isFirst) {
      file = undefined
      const tar = tarEntry(entry)
      if (building.isPast(tar.bytes)) {
        building.skip(tar.bytes)
        continue
      }
      await building.bytes(tar.header())
      if (isFile(entry) && entry.linkTo === undefined)
        file = { content: startContent(building, walk.keys, entry, false, nothing), padding_bytes: tar.padding_bytes }
    }
    if (!file) continue
    await file.content.add(part)
    if (!part.isLast) continue
    await file.content.end()
    await building.bytes(TAR_END.subarray(0, file.padding_bytes))
  }
  await building.bytes(TAR_END)
  await building.settle()
}
