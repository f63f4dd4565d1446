// A ZIP archive of a snapshot's entries, in path order, and at its end the directory of all of them. For that the pages are
// read a second time, so that nothing but a checksum is kept of an entry. Every name of a file has its content. What was
// sent earlier is not read again where its checksum is known.
import { crc32 } from 'node:zlib'
import type { ArchiveKeys } from '#format/keys.ts'
import { type Building, type BuildingOptions, createBuilding } from './building.ts'
import type { Checksums } from './checksums.ts'
import { type FileContent, startContent } from './file-content.ts'
import type { Measured } from './messages.ts'
import { readParts, type Walk } from './parts.ts'
import { isUtf8 } from './tar.ts'
import { centralHeader, centralHeaderBytes, descriptor, descriptorBytes, localHeader, localHeaderBytes, type ZipEntry, zipEnd, zipEntry } from './zip.ts'

/** How long the archive will be; no block is read for it. */
export async function measureZip(walk: Omit<Walk, 'isLinking'>): Promise<Measured> {
  const measured = { bytes: 0, entries: 0, left_out: 0, names_not_utf8: 0 }
  let offset = 0
  let directory_bytes = 0
  for await (const { entry, isFirst } of readParts({ ...walk, isLinking: false })) {
    if (!isFirst) continue
    const zip = zipEntry(entry)
    if (!zip) {
      measured.left_out++
      continue
    }
    measured.entries++
    if (!isUtf8(entry.path)) measured.names_not_utf8++
    directory_bytes += centralHeaderBytes(zip, offset)
    offset += zip.local_bytes
  }
  return { ...measured, bytes: offset + directory_bytes + zipEnd(measured.entries, directory_bytes, offset).length }
}

/**
 * Writes it, from the wanted byte on.
 *
 * @param checksums  those that are known from an earlier run; all of them when this resolves
 */
export async function writeZip(walk: Omit<Walk, 'isLinking'>, options: BuildingOptions, checksums: Checksums): Promise<void> {
  const building = createBuilding(options)
  const known = checksums.length
  let entries = 0
  /** The file whose parts come. */
  let file: OpenFile | undefined
  for await (const part of readParts({ ...walk, isLinking: false })) {
    if (part.isFirst) {
      file = undefined
      const zip = zipEntry(part.entry)
      if (!zip) continue
      const ordinal = entries++
      if (ordinal < known && building.isPast(zip.local_bytes)) {
        building.skip(zip.local_bytes)
        continue
      }
      building.buildAll()
      file = await beginEntry(building, walk.keys, zip, crc => checksums.set(ordinal, crc))
    }
    if (!file) continue
    await file.content.add(part)
    if (part.isLast) await file.end()
  }
  const directory_offset = building.position
  let offset = 0
  // The directory needs all checksums: those of the last stretch, too.
  await building.settle()
  entries = 0
  for await (const { entry, isFirst } of readParts({ ...walk, isLinking: false })) {
    const zip = isFirst ? zipEntry(entry) : undefined
    if (!zip) continue
    await building.bytes(centralHeader(zip, offset, checksums.get(entries++)))
    offset += zip.local_bytes
  }
  await building.bytes(zipEnd(entries, building.position - directory_offset, directory_offset))
  await building.settle()
}

type OpenFile = { readonly content: FileContent; end(): Promise<void> }

/** Header and content; of a file with content, only what comes before it. */
async function beginEntry(building: Building, keys: ArchiveKeys, zip: ZipEntry, onChecksum: (crc: number) => void): Promise<OpenFile | undefined> {
  const { entry, target, size } = zip
  if (target || size === 0) {
    const crc = target ? crc32(target) : 0
    await building.bytes(localHeader(zip, crc))
    if (target) await building.bytes(target)
    building.later(() => onChecksum(crc))
    return undefined
  }
  let crc = 0
  const start = (): FileContent =>
    startContent(building, keys, entry, true, piece => {
      crc = crc32(piece, crc)
    })
  if (zip.isStreamed) {
    await building.bytes(localHeader(zip, 0))
    const content = start()
    return {
      content,
      async end() {
        await content.end()
        await building.room(descriptorBytes(zip))
        const at = building.reserve(descriptorBytes(zip))
        building.later(memory => {
          descriptor(zip, crc).copy(memory, at)
          onChecksum(crc)
        })
      },
    }
  }
  // Header and content lie in one stretch, so that the header can have the checksum.
  await building.room(zip.local_bytes)
  const at = building.reserve(localHeaderBytes(zip))
  const content = start()
  return {
    content,
    async end() {
      await content.end()
      building.later(memory => {
        localHeader(zip, crc).copy(memory, at)
        onChecksum(crc)
      })
    },
  }
}
