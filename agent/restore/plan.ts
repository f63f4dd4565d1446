// What has to be done for the entries of one page, and which blocks that needs. Pure: nothing is read or written here.
// Actions are one byte an entry, so that worker threads get them at no cost.
import type { Page } from '#format/page.ts'
import { SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { idNames } from './fetch-blocks.ts'
import type { HardLinks, Primary } from './hard-links.ts'
import type { Selection } from './selection.ts'

export const ACTION = {
  none: 0,
  /** A small regular file that lies within one block, without holes: written in one go. */
  whole: 1,
  /** A regular file written piece by piece into a temporary file. */
  pieces: 2,
  /** Needs no block: empty files, symbolic links, FIFOs, device nodes. */
  plain: 3,
  link: 4,
  directory: 5,
  /** As `whole`, and other names will be linked to it: where it ended up must be told. */
  wholePrimary: 6,
  plainPrimary: 7,
} as const
export type Action = (typeof ACTION)[keyof typeof ACTION]

const S_IFMT = 0o170000
export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === 0o040000
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === 0o100000

export type PlannedPage = {
  readonly ordinal: number
  readonly page: Page
  readonly actions: Uint8Array
  readonly links: { readonly index: number; readonly primary: Primary }[]
  /** Entries to which other names are linked. */
  readonly primaries: Map<number, Primary>
  /** Entries with action `pieces`. */
  readonly pieces: number[]
  readonly files: number
  readonly content_bytes: number
}

export type PlanContext = {
  readonly selection: Selection
  readonly hardLinks: HardLinks
  /** Whether an entry can't be restored, because the directory that it lies in can't. */
  readonly isBlocked: (page: Page, index: number) => boolean
  /** Directories are made while planning, before anything in them; false if that failed: then all below is left out. */
  readonly onDirectory: (index: number, path: string) => boolean
  readonly onLeftOut: (path: string) => void
}

/** How an entry that is no directory is restored, when it is not a link to another. */
export function actionOf(page: Page, i: number): Action {
  const extents = page.extentEnd(i) - page.extentStart(i)
  const size = page.size[i] as number
  if (!isRegular(page.mode[i] as number) || (extents === 0 && size === 0)) return ACTION.plain
  const rare = page.rare(i)
  const isWhole = extents === 1 && !rare?.holes && !rare?.continuation && page.extentLength[page.extentStart(i)] === size && size < SMALL_FILE_BYTES
  return isWhole ? ACTION.whole : ACTION.pieces
}

/** Decides on every entry of a page, in order. */
export function planPage(page: Page, ordinal: number, context: PlanContext): PlannedPage {
  const actions = new Uint8Array(page.count)
  const planned = { links: [] as PlannedPage['links'], primaries: new Map<number, Primary>(), pieces: [] as number[] }
  let files = 0
  let content_bytes = 0
  for (let i = 0; i < page.count; i++) {
    const mode = page.mode[i] as number
    const isFolder = isDirectory(mode)
    if (isFolder || !context.selection.isEverything) {
      const path = page.path(i)
      if (!context.selection.has(path)) continue
      if (isFolder) {
        if (context.isBlocked(page, i)) context.onLeftOut(path)
        else if (context.onDirectory(i, path)) actions[i] = ACTION.directory
        continue
      }
    }
    if (context.isBlocked(page, i)) {
      context.onLeftOut(page.path(i))
      continue
    }
    files++
    if (isRegular(mode)) content_bytes += page.size[i] as number
    let isFirst = false
    const size = page.size[i] as number
    if ((page.nlink[i] as number) > 1 && page.rare(i)?.continuation !== true) {
      const key = `${page.devices[page.dev[i] as number]}:${page.ino[i]}:${mode}`
      const met = context.hardLinks.meet(key, page.nlink[i] as number, page.contentOf(i)?.toString('latin1') ?? '', size)
      if (!met.isFirst) {
        planned.links.push({ index: i, primary: met.primary })
        actions[i] = ACTION.link
        continue
      }
      planned.primaries.set(i, met.primary)
      isFirst = true
    }
    const action = actionOf(page, i)
    actions[i] = !isFirst ? action : action === ACTION.plain ? ACTION.plainPrimary : action === ACTION.whole ? ACTION.wholePrimary : action
    if (action === ACTION.pieces) planned.pieces.push(i)
  }
  return { ordinal, page, actions, ...planned, files, content_bytes }
}

export const needsBlocks = (action: number | undefined): boolean => action === ACTION.whole || action === ACTION.wholePrimary || action === ACTION.pieces

/**
 * The blocks that a page's entries need, in path order.
 *
 * @param isExtentNeeded  false for what is on disk already
 * @returns indexes into the page's block list, by id name
 */
export function neededBlocks(planned: PlannedPage, isExtentNeeded: (index: number, extent: number) => boolean): Map<string, number> {
  const { page, actions } = planned
  const needed = new Map<string, number>()
  const isAdded = new Uint8Array(page.blocks.length / 32)
  const names = idNames(page.blocks)
  for (let i = 0; i < page.count; i++) {
    if (!needsBlocks(actions[i])) continue
    for (let extent = page.extentStart(i); extent < page.extentEnd(i); extent++) {
      const block = page.extentBlock[extent] as number
      if (isAdded[block] === 1 || !isExtentNeeded(i, extent)) continue
      isAdded[block] = 1
      needed.set(names[block] as string, block)
    }
  }
  return needed
}
