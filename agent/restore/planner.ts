// Turns the pages of a snapshot, one after another, into windows: runs of pages that are restored together, so that a block
// which several files need is fetched once. Here files that go on from page to page are followed, directories made before
// what is in them, and what lies below a directory that could not be made is left out, by name.
import type { ArchiveKeys } from '#format/keys.ts'
import { type Entry, entryAt } from '#format/page.ts'
import { isWithin } from '#format/path-order.ts'
import { type Assembly, addPart, type Breakage, createAssembly, goesOn } from './assembly.ts'
import { createDirectories } from './directories.ts'
import { createHardLinks } from './hard-links.ts'
import type { Failure, PageMessage } from './messages.ts'
import type { OpenPage } from './pages.ts'
import { ACTION, type PlannedPage, planPage } from './plan.ts'
import type { Relocation } from './relocations.ts'
import type { Selection } from './selection.ts'

const WINDOW_ENTRIES = 4096
const WINDOW_EXTENTS = 16_384
const WINDOW_PAGES = 16

export type WindowPage = { readonly slot: number; readonly planned: PlannedPage; readonly message: PageMessage }
export type Window = {
  readonly pages: WindowPage[]
  /** Files whose last piece lies in this window. */
  readonly assemblies: Assembly[]
  /** A file that goes on in the next window. */
  readonly open: Assembly | undefined
  readonly complete: Entry[]
}

/** What planning needs of the target; a verification has none of it. */
export type Ground = {
  /** Makes the directory of an entry, or finds it; returns where it really is (byte string), or why not. */
  makeDirectory(path: string): { path: string } | Breakage
  /** Makes sure of the directories above an entry whose own entries are not restored. */
  ensureFolder(path: string): Breakage | undefined
  readonly relocations: readonly Relocation[]
}

export type PlannerOptions = {
  readonly keys: ArchiveKeys
  readonly selection: Selection
  readonly ground: Ground | undefined
  readonly takeSlot: () => number
  readonly onFailure: (failure: Failure) => void
}

export function createPlanner(options: PlannerOptions) {
  const { keys, selection, ground, onFailure } = options
  const directories = createDirectories()
  const hardLinks = createHardLinks()
  let window: Window = { pages: [], assemblies: [], open: undefined, complete: [] }
  let extents = 0
  let entries = 0
  /** A file whose next piece is expected in the next page. */
  let open: Assembly | undefined
  /** A file that goes on in the next page, none of which is wanted (a link, or left out). */
  let ignored: string | undefined
  let blocked: { path: string; why: Breakage } | undefined
  let ensured: string | undefined

  const whyBlocked = (folder: string): Breakage | undefined => {
    if (blocked && isWithin(folder, blocked.path)) return blocked.why
    return undefined
  }
  const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))

  const closeOpen = (): void => {
    if (!open) return
    open.broken ??= { code: 'RECORD_DAMAGED', reason: 'the page with the rest of it is lost', isDamage: true }
    window.assemblies.push(open)
    open = undefined
  }

  const followPieces = (planned: PlannedPage, slot: number): number => {
    const { page, actions } = planned
    let content_start = 0
    const first = page.count > 0 && page.rare(0)?.continuation === true ? page.path(0) : undefined
    if (open && first !== open.path) closeOpen()
    if (first !== undefined && actions[0] !== ACTION.none && open === undefined) {
      actions[0] = ACTION.none
      planned.pieces.splice(planned.pieces.indexOf(0), 1)
      if (first !== ignored) onFailure({ path: first, code: 'RECORD_DAMAGED', reason: 'the page with its beginning is lost', isDamage: true })
    }
    for (const index of planned.pieces) {
      const assembly: Assembly = index === 0 && open ? open : createAssembly(keys, page.path(index))
      if (assembly === open) {
        content_start = open.content_bytes
        open = undefined
      }
      addPart(assembly, page, slot, index)
      if (goesOn(assembly, page, index)) open = assembly
      else window.assemblies.push(assembly)
    }
    const last = page.count - 1
    if (!open) ignored = last >= 0 && actions[last] !== ACTION.directory ? page.path(last) : undefined
    return content_start
  }

  return {
    /** Plans one page. */
    add(read: OpenPage): void {
      const { page } = read
      const slot = options.takeSlot()
      if (page.count > 0) {
        directories.leave(page.path(0))
        if (blocked && !isWithin(page.path(0), blocked.path)) blocked = undefined
      }
      const made = new Uint8Array(page.count)
      const planned = planPage(page, read.ordinal, {
        selection,
        hardLinks,
        isBlocked: (_, index) => {
          const parent = page.parentOf[index] as number
          if (parent >= 0 && made[parent] === 1) return false
          const folder = folderOf(page.path(index))
          const why = whyBlocked(folder)
          if (why || !ground || folder === ensured) return why !== undefined
          ensured = folder
          const failed = ground.ensureFolder(folder)
          if (failed) blocked = { path: folder, why: failed }
          return failed !== undefined
        },
        onDirectory: (index, path) => {
          const place = ground?.makeDirectory(path)
          if (!place || 'path' in place) {
            made[index] = 1
            if (place) directories.enter(entryAt(page, index))
            return true
          }
          blocked = { path, why: place }
          onFailure({ path, ...place })
          return false
        },
        onLeftOut: path => {
          const why = whyBlocked(folderOf(path)) ?? whyBlocked(path)
          onFailure({
            path,
            code: why?.code ?? 'LEFT_OUT',
            reason: `its directory could not be restored: ${why?.reason ?? ''}`,
            isDamage: why?.isDamage ?? false,
          })
        },
      })
      const content_start = followPieces(planned, slot)
      const message: PageMessage = {
        kind: 'page',
        slot,
        plain: read.plain,
        clear: read.clear,
        actions: planned.actions,
        content_start,
        relocations: [...(ground?.relocations ?? [])],
      }
      window.pages.push({ slot, planned, message })
      entries += page.count
      extents += page.extentBlock.length
    },
    isWindowFull: (): boolean => entries >= WINDOW_ENTRIES || extents >= WINDOW_EXTENTS || window.pages.length >= WINDOW_PAGES,
    /** A page that is lost ends a file that would go on in it. */
    loseTrack: closeOpen,
    /** What was planned since the last call. */
    take(isLast: boolean): Window {
      if (isLast) {
        closeOpen()
        directories.leaveAll()
      }
      const taken = { ...window, open, complete: directories.takeComplete() }
      window = { pages: [], assemblies: [], open: undefined, complete: [] }
      entries = 0
      extents = 0
      return taken
    },
  }
}

export type Planner = ReturnType<typeof createPlanner>
