// A page in a worker: decoded, with its extents found by block, and the position of each extent in its file's content.
import { decodePage, type Page } from '#format/page.ts'
import { ID_BYTES } from '#protocol/record.ts'
import type { PageMessage } from './messages.ts'
import { dataRegions, type Region } from './regions.ts'
import { type Relocation, relocated } from './relocations.ts'
import type { Metadata } from './target.ts'

export type LoadedPage = {
  readonly page: Page
  actions: Uint8Array
  readonly relocations: readonly Relocation[]
  /** Extents of block b: extentsByBlock[blockStart[b]] up to blockStart[b + 1]. */
  readonly blockStart: Uint32Array
  readonly extentsByBlock: Uint32Array
  readonly entryOfExtent: Uint32Array
  /** Where each extent begins in its file's content, without holes, in bytes. */
  readonly contentAt: Float64Array
  readonly regions: Map<number, Region[]>
  /** Gives its memory back now: the collector would let that of many pages wait. It may not be used any more. */
  release(): void
}

/** Reads a page that the main thread has opened and checked; there it is decoded already. */
export function loadPage(message: PageMessage, page: Page = decodePage(bufferOf(message.plain), bufferOf(message.clear))): LoadedPage {
  const extents = page.extentBlock.length
  const blocks = page.blocks.length / ID_BYTES
  const memory = new ArrayBuffer(extents * 16 + blocks * 8 + 8)
  const contentAt = new Float64Array(memory, 0, extents)
  const extentsByBlock = new Uint32Array(memory, extents * 8, extents)
  const entryOfExtent = new Uint32Array(memory, extents * 12, extents)
  const blockStart = new Uint32Array(memory, extents * 16, blocks + 1)
  const next = new Uint32Array(memory, extents * 16 + blocks * 4 + 4, blocks)
  const release = (): void => {
    page.release()
    memory.transfer(0)
    if (message.plain.buffer instanceof ArrayBuffer) message.plain.buffer.transfer(0)
  }
  for (let extent = 0; extent < extents; extent++) (blockStart[(page.extentBlock[extent] as number) + 1] as number)++
  for (let block = 0; block < blocks; block++) blockStart[block + 1] = (blockStart[block + 1] as number) + (blockStart[block] as number)
  next.set(blockStart.subarray(0, blocks))
  for (let entry = 0; entry < page.count; entry++) {
    let content = entry === 0 ? message.content_start : 0
    for (let extent = page.extentStart(entry); extent < page.extentEnd(entry); extent++) {
      const block = page.extentBlock[extent] as number
      extentsByBlock[next[block] as number] = extent
      next[block] = (next[block] as number) + 1
      entryOfExtent[extent] = entry
      contentAt[extent] = content
      content += page.extentLength[extent] as number
    }
  }
  return { page, actions: message.actions, relocations: message.relocations, blockStart, extentsByBlock, entryOfExtent, contentAt, regions: new Map(), release }
}

/** What is set on a file besides its content; cheaper than the whole entry. */
export const metadataAt = ({ page }: LoadedPage, index: number): Metadata => ({
  mode: page.mode[index] as number,
  uid: page.uid[index] as number,
  gid: page.gid[index] as number,
  mtime_ns: page.mtime_ns[index] as bigint,
  xattrs: page.rare(index)?.xattrs,
})

/** Where an entry really goes, under the target. Byte string. */
export const placeOf = (loaded: LoadedPage, index: number): string => {
  const path = loaded.page.path(index)
  return loaded.relocations.length === 0 ? path : relocated(path, loaded.relocations)
}

export function regionsOf(loaded: LoadedPage, index: number): Region[] {
  let regions = loaded.regions.get(index)
  if (!regions) {
    regions = dataRegions(loaded.page.rare(index)?.holes, loaded.page.size[index] as number)
    loaded.regions.set(index, regions)
  }
  return regions
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
