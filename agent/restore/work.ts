// What a worker does with each request. Nothing is written that was not checked: a block opens only with its tag and its
// id, and the content of a file must have the hash that its entry says.
import { hashContent, startContentHash, startExtentsHash } from '#format/content-hash.ts'
import type { ArchiveKeys } from '#format/keys.ts'
import type { Page } from '#format/page.ts'
import { BLOCK_BYTES_MAX, SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { ID_BYTES, KIND } from '#protocol/record.ts'
import { entriesDropped } from '#site/short-lived-memory.ts'
import type { Breakage } from './assembly.ts'
import { fault } from './errors.ts'
import { type LoadedPage, loadPage, regionsOf } from './loaded-page.ts'
import { emptyOutcome, type Outcome, type Request, type WorkerSetup } from './messages.ts'
import { openExpected } from './pages.ts'
import { createPlacing, type Placed, readFully } from './placing.ts'
import { ACTION } from './plan.ts'
import { forEachRun } from './regions.ts'
import { createStanding } from './standing.ts'
import { openTarget } from './target.ts'
import { breakageOf, isFull } from './target-errors.ts'

const READ_BACK_BYTES = 256 * 1024

type BlockRequest = Extract<Request, { kind: 'block' }>

export function createWork(keys: ArchiveKeys, setup: Omit<WorkerSetup, 'ring' | 'done'>) {
  const target = setup.target === undefined ? undefined : openTarget(setup.target)
  const placing = target && createPlacing(target, setup.onConflict, setup.isResume)
  const standing = target && createStanding(target, keys)
  const pages = new Map<number, LoadedPage>()
  /** For the content of the block that is being worked on. */
  const room = Buffer.allocUnsafeSlow(BLOCK_BYTES_MAX)
  const pageAt = (slot: number): LoadedPage => {
    const loaded = pages.get(slot)
    if (!loaded) throw new RangeError(`page ${slot} was not sent`)
    return loaded
  }

  /** Trouble with one file is told; the rest goes on. */
  const attempt = (outcome: Outcome, path: () => string, act: () => void): Breakage | undefined => {
    try {
      act()
      return undefined
    } catch (error) {
      if (isFull(error)) throw error
      const why = breakageOf(error)
      if (path !== noPath) outcome.failures.push({ path: path(), ...why })
      return why
    }
  }
  const noPath = (): string => ''

  const placed = (outcome: Outcome, loaded: LoadedPage, slot: number, index: number, at: Placed): void => {
    if (loaded.actions[index] === ACTION.wholePrimary || loaded.actions[index] === ACTION.plainPrimary || isLinked(loaded.page, index)) {
      outcome.primaries.push({ slot, index, path: at })
    }
    if (at === undefined) {
      outcome.skipped++
      return
    }
    outcome.files++
    const path = loaded.page.path(index)
    if (at !== path && loaded.relocations.length === 0) outcome.renamed.push([path, at])
  }
  const isLinked = (page: Page, index: number): boolean => (page.nlink[index] as number) > 1

  const checkWhole = (page: Page, index: number, extent: number, content: Buffer): void => {
    const wanted = page.contentOf(index)
    if (wanted && hashContent(keys, content).equals(wanted)) return
    // A file that shrank below the limit while it was read was cut as a large one, and has the hash of those.
    if (wanted && hashOfExtents(page, index).equals(wanted)) return
    throw fault('CONTENT_MISMATCH', { facts: { extent } })
  }
  const hashOfExtents = (page: Page, index: number): Buffer => {
    const hash = startExtentsHash(keys)
    for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) {
      const at = (page.extentBlock[extent] as number) * ID_BYTES
      hash.add(page.blocks.subarray(at, at + ID_BYTES), page.extentOffset[extent] as number, page.extentLength[extent] as number)
    }
    return hash.digest()
  }

  /** The content of a block, in `into` if it fits; or why there is none. */
  const open = (request: BlockRequest, into: Buffer): { plain: Buffer | undefined; why: Breakage | undefined } => {
    if (!request.record) return { plain: undefined, why: { code: 'RECORD_DAMAGED', reason: request.lost, isDamage: true } }
    try {
      return { plain: openExpected(keys, KIND.block, Buffer.from(request.id, 'latin1'), bufferOf(request.record), { room: into }).plain, why: undefined }
    } catch (error) {
      return { plain: undefined, why: breakageOf(error) }
    }
  }

  const onOpened = (plain: Buffer | undefined, why: Breakage | undefined, places: Uint32Array, outcome: Outcome): void => {
    for (let at = 0; at < places.length; at += 2) {
      const slot = places[at] as number
      const block = places[at + 1] as number
      const loaded = pageAt(slot)
      const end = loaded.blockStart[block + 1] as number
      for (let i = loaded.blockStart[block] as number; i < end; i++) onExtent(slot, loaded, loaded.extentsByBlock[i] as number, plain, why, outcome)
    }
  }

  const onExtent = (slot: number, loaded: LoadedPage, extent: number, plain: Buffer | undefined, why: Breakage | undefined, outcome: Outcome): void => {
    const { page } = loaded
    const index = loaded.entryOfExtent[extent] as number
    const action = loaded.actions[index]
    const isWhole = action === ACTION.whole || action === ACTION.wholePrimary
    if (!isWhole && action !== ACTION.pieces) return
    const offset = page.extentOffset[extent] as number
    const length = page.extentLength[extent] as number
    const piece = plain?.subarray(offset, offset + length)
    const broken: Breakage | undefined =
      piece && piece.length < length ? { code: 'CONTENT_MISMATCH', reason: 'its block is shorter than it should be', isDamage: true } : why
    if (isWhole) {
      if (!piece || broken) {
        outcome.failures.push({ path: page.path(index), ...(broken ?? breakageOf(fault('RECORD_DAMAGED'))) })
        return
      }
      attempt(
        outcome,
        () => page.path(index),
        () => {
          checkWhole(page, index, extent, piece)
          placed(outcome, loaded, slot, index, placing ? placing.placeWhole(loaded, index, piece) : page.path(index))
          outcome.written_bytes += length
        },
      )
      return
    }
    const trouble = broken ?? (piece && placing && attempt(outcome, noPath, () => placing.writePiece(loaded, index, loaded.contentAt[extent] as number, piece)))
    if (trouble) outcome.broken.push({ slot, index, ...trouble })
    else outcome.written_bytes += length
  }

  const onPrepare = (slot: number, outcome: Outcome): void => {
    if (!placing || !standing) return
    const loaded = pageAt(slot)
    const { page } = loaded
    const present = new Uint8Array(page.count)
    const presentExtents = setup.isResume ? new Uint8Array(page.extentBlock.length) : undefined
    for (let index = 0; index < page.count; index++) {
      const action = loaded.actions[index] as number
      if (action === ACTION.none || action === ACTION.link || action === ACTION.directory) continue
      const at = setup.isResume ? standing.find(loaded, index) : undefined
      if (at !== undefined) {
        present[index] = 1
        placed(outcome, loaded, slot, index, at)
      } else if (action === ACTION.pieces) {
        if (placing.isSkipped(loaded, index)) {
          present[index] = 1
          placed(outcome, loaded, slot, index, undefined)
          continue
        }
        const why = attempt(outcome, noPath, () => {
          const isOld = placing.preparePieces(loaded, index) === 'old'
          if (isOld && presentExtents && !standing.markExtents(loaded, index, presentExtents)) {
            placing.removePieces(loaded, index)
            placing.preparePieces(loaded, index)
          }
        })
        if (why) outcome.broken.push({ slot, index, ...why })
      }
    }
    outcome.present = present
    outcome.presentExtents = presentExtents
  }

  const onPlain = (slot: number, outcome: Outcome): void => {
    const loaded = pageAt(slot)
    for (let index = 0; index < loaded.page.count; index++) {
      const action = loaded.actions[index]
      if (action !== ACTION.plain && action !== ACTION.plainPrimary) continue
      attempt(
        outcome,
        () => loaded.page.path(index),
        () => placed(outcome, loaded, slot, index, placing ? placing.placePlain(loaded, index) : loaded.page.path(index)),
      )
    }
  }

  const onLinks = (request: Extract<Request, { kind: 'links' }>, outcome: Outcome): void => {
    const loaded = pageAt(request.slot)
    for (const { index, to } of request.links) {
      const path = loaded.page.path(index)
      if (!placing) {
        outcome.files++
        continue
      }
      const why = attempt(outcome, noPath, () => {
        const at = placing.placeLink(loaded, index, to)
        if (at === undefined) outcome.skipped++
        else {
          outcome.files++
          if (at !== path && loaded.relocations.length === 0) outcome.renamed.push([path, at])
        }
      })
      if (why && ['EXDEV', 'EMLINK', 'EPERM', 'ENOENT', 'ENOTSUP', 'EOPNOTSUPP'].includes(why.code)) outcome.unlinked.push(index)
      else if (why) outcome.failures.push({ path, ...why })
    }
  }

  const onFinish = ({ slot, index, isBroken }: Extract<Request, { kind: 'finish' }>, outcome: Outcome): void => {
    const loaded = pageAt(slot)
    const { page } = loaded
    if (!placing) {
      if (!isBroken) placed(outcome, loaded, slot, index, page.path(index))
      return
    }
    if (isBroken) {
      attempt(outcome, noPath, () => placing.removePieces(loaded, index))
      return
    }
    attempt(
      outcome,
      () => page.path(index),
      () =>
        placed(
          outcome,
          loaded,
          slot,
          index,
          placing.finishPieces(loaded, index, fd => checkSmall(loaded, index, fd)),
        ),
    )
  }

  /** Content of a small file that came in pieces is read back; that of a large one was checked by its extents. */
  const checkSmall = (loaded: LoadedPage, index: number, fd: number): void => {
    const { page } = loaded
    let stored_bytes = 0
    for (let extent = page.extentStart(index); extent < page.extentEnd(index); extent++) stored_bytes += page.extentLength[extent] as number
    if (stored_bytes === 0 || stored_bytes >= SMALL_FILE_BYTES || page.rare(index)?.continuation) return
    const hash = startContentHash(keys, stored_bytes)
    const buffer = Buffer.allocUnsafe(Math.min(stored_bytes, READ_BACK_BYTES))
    for (let at = 0; at < stored_bytes; at += buffer.length) {
      const part = buffer.subarray(0, Math.min(buffer.length, stored_bytes - at))
      forEachRun(regionsOf(loaded, index), at, part.length, (from, file, length) => {
        if (!readFully(fd, part.subarray(from, from + length), file)) throw fault('CONTENT_MISMATCH', { found: 'a file that is too short' })
      })
      hash.update(part)
    }
    const wanted = page.contentOf(index)
    if (!wanted || (!hash.digest().equals(wanted) && !hashOfExtents(page, index).equals(wanted))) throw fault('CONTENT_MISMATCH')
  }

  return {
    open,
    /**
     * How long a block must be for the files that are written from it piece by piece; 0 if there are none. Two threads that
     * write to one file wait for one another inside the kernel, so only one does.
     */
    pieceBytes({ places }: BlockRequest): number {
      let bytes = 0
      for (let at = 0; at < places.length; at += 2) {
        const { blockStart, extentsByBlock, entryOfExtent, actions, page } = pageAt(places[at] as number)
        const block = places[at + 1] as number
        for (let i = blockStart[block] as number; i < (blockStart[block + 1] as number); i++) {
          const extent = extentsByBlock[i] as number
          if (actions[entryOfExtent[extent] as number] === ACTION.pieces)
            bytes = Math.max(bytes, (page.extentOffset[extent] as number) + (page.extentLength[extent] as number))
        }
      }
      return bytes
    },
    /** @param page  of a request of kind page, if it is decoded already */
    do(request: Request, page?: Page): Outcome {
      const outcome = emptyOutcome()
      switch (request.kind) {
        case 'page':
          pages.set(request.slot, loadPage(request, page))
          break
        case 'actions':
          pageAt(request.slot).actions = request.actions
          break
        case 'forget':
          placing?.closeOpen()
          entriesDropped(pageAt(request.slot).page.count)
          pageAt(request.slot).release()
          pages.delete(request.slot)
          break
        case 'prepare':
          onPrepare(request.slot, outcome)
          break
        case 'block': {
          const { plain, why } = open(request, room)
          onOpened(plain, why, request.places, outcome)
          break
        }
        case 'opened':
          onOpened(request.plain && bufferOf(request.plain), request.why, request.places, outcome)
          break
        case 'plain':
          onPlain(request.slot, outcome)
          break
        case 'links':
          onLinks(request, outcome)
          break
        case 'finish':
          onFinish(request, outcome)
          break
        case 'close':
          break
      }
      return outcome
    },
    close(): void {
      placing?.closeOpen()
      target?.close()
    },
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
