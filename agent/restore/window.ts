// Carries one window out: what needs no block, then blocks as they come (each opened once, whatever number of files need
// it), then files that are complete now, links, and last the directories. Windows overlap: the next one begins to fetch
// while this one ends; what must come in order (links, directories) waits for the window before.
import assert from 'node:assert/strict'
import type { ArchiveKeys } from '#format/keys.ts'
import { type Assembly, addPart, checkAssembly, createAssembly } from './assembly.ts'
import type { Fetcher } from './fetch-blocks.ts'
import type { Failure, Outcome } from './messages.ts'
import { ACTION, actionOf, neededBlocks, needsBlocks } from './plan.ts'
import type { Window, WindowPage } from './planner.ts'
import type { WorkerPool } from './worker-pool.ts'

export type WindowContext = {
  readonly keys: ArchiveKeys
  readonly pool: WorkerPool
  readonly fetcher: Fetcher
  readonly isResume: boolean
  /** Nothing is written. */
  readonly isVerification: boolean
  readonly signal: AbortSignal | undefined
  readonly onOutcome: (outcome: Outcome) => void
  readonly onFailure: (failure: Failure) => void
  /** Sets owner, mode and times of a directory; false if that failed. */
  readonly finishDirectories: (window: Window) => void
  readonly releaseSlot: (slot: number) => void
}

export type RunningWindow = {
  /** Resolves when its last request has begun: then the next window may begin to fetch. */
  readonly started: Promise<void>
  readonly done: Promise<void>
}

/** @param before  resolves when the window before is done */
export function runWindow(window: Window, context: WindowContext, before: Promise<void>): RunningWindow {
  let markStarted: () => void = () => {}
  const started = new Promise<void>(resolve => {
    markStarted = resolve
  })
  const done = run(window, context, before, markStarted).finally(markStarted)
  done.catch(() => {})
  return { started, done }
}

async function run(window: Window, context: WindowContext, before: Promise<void>, markStarted: () => void): Promise<void> {
  const { pool } = context
  const bySlot = new Map(window.pages.map(page => [page.slot, page]))
  for (const { message, planned } of window.pages) pool.broadcast(message, planned.page)
  const round = { pages: window.pages, bySlot, assemblies: window.assemblies, open: window.open }
  await runRound(round, context, markStarted)
  await before
  const second = await runLinks(round, context)
  if (second) await runRound(second, context, () => {})
  context.finishDirectories(window)
  for (const { slot } of window.pages) {
    pool.broadcast({ kind: 'forget', slot })
    context.releaseSlot(slot)
  }
}

type Round = {
  readonly pages: readonly WindowPage[]
  readonly bySlot: ReadonlyMap<number, WindowPage>
  readonly assemblies: readonly Assembly[]
  readonly open: Assembly | undefined
}

/** Everything but links and directories. */
async function runRound(round: Round, context: WindowContext, markStarted: () => void): Promise<void> {
  const { pool } = context
  const absorb = (outcome: Outcome): Outcome => absorbInto(round, context, outcome)
  const presentExtents = new Map<number, Uint8Array>()
  const toPrepare = context.isVerification ? [] : round.pages.filter(({ planned }) => context.isResume || planned.actions.includes(ACTION.pieces))
  await Promise.all(toPrepare.map(page => preparePage(page, pool, absorb, presentExtents)))
  await runActions(round.pages, context, absorb, presentExtents, markStarted)
  await Promise.all(
    round.assemblies.map(async assembly => {
      const owner = round.bySlot.get(assembly.slot)
      const isHere = owner !== undefined && assembly.index < owner.planned.page.count && owner.planned.page.path(assembly.index) === assembly.path
      if (isHere && owner.planned.actions[assembly.index] !== ACTION.pieces) return
      const broken = isHere ? checkAssembly(assembly, owner.planned.page, assembly.index) : assembly.broken
      if (broken) context.onFailure({ path: assembly.path, ...broken })
      if (isHere) absorb(await pool.run({ kind: 'finish', slot: assembly.slot, index: assembly.index, isBroken: broken !== undefined }))
    }),
  )
}

function absorbInto({ bySlot, assemblies, open }: Round, context: WindowContext, outcome: Outcome): Outcome {
  for (const { slot, index, path } of outcome.primaries) {
    const primary = bySlot.get(slot)?.planned.primaries.get(index)
    if (primary) primary.path = path
  }
  for (const { slot, index, ...why } of outcome.broken) {
    const path = bySlot.get(slot)?.planned.page.path(index)
    const assembly = open?.path === path ? open : assemblies.find(one => one.path === path)
    assert(assembly, 'a broken file that was not being put together')
    assembly.broken ??= why
  }
  context.onOutcome(outcome)
  return outcome
}

/** Makes room for pieces, or looks for what an earlier run has restored already and takes it out of what has to be done. */
async function preparePage(page: WindowPage, pool: WorkerPool, absorb: (outcome: Outcome) => Outcome, presentExtents: Map<number, Uint8Array>): Promise<void> {
  const { slot, planned } = page
  const outcome = absorb(await pool.runAside({ kind: 'prepare', slot }))
  if (outcome.presentExtents) presentExtents.set(slot, outcome.presentExtents)
  if (!outcome.present) return
  outcome.present.forEach((isPresent, index) => {
    if (isPresent === 1) planned.actions[index] = ACTION.none
  })
  pool.broadcast({ kind: 'actions', slot, actions: planned.actions })
}

/** Entries that need no block, and all blocks that the others need. */
async function runActions(
  pages: readonly WindowPage[],
  context: WindowContext,
  absorb: (outcome: Outcome) => Outcome,
  presentExtents: Map<number, Uint8Array>,
  markStarted: () => void,
): Promise<void> {
  const { pool, signal } = context
  let failure: { error: unknown } | undefined
  let running = 0
  let wake = (): void => {}
  const track = (outcome: Promise<Outcome>): Promise<void> => {
    running++
    return outcome
      .then(outcome => void absorb(outcome))
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => {
        running--
        wake()
      })
  }
  for (const { slot, planned } of pages) {
    if (planned.actions.some(action => action === ACTION.plain || action === ACTION.plainPrimary)) void track(pool.run({ kind: 'plain', slot }))
  }
  const places = new Map<string, number[]>()
  for (const { slot, planned } of pages) {
    if (!planned.actions.some(needsBlocks)) continue
    const present = presentExtents.get(slot)
    for (const [name, block] of neededBlocks(planned, (_, extent) => present?.[extent] !== 1)) {
      const known = places.get(name)
      if (known) known.push(slot, block)
      else places.set(name, [slot, block])
    }
  }
  const give = (name: string, record: Buffer | undefined, lost: string): Promise<void> => {
    if (failure) throw failure.error
    if (signal?.aborted) throw signal.reason
    const request = { kind: 'block', id: name, record, lost, places: Uint32Array.from(places.get(name) ?? []) } as const
    return track(pool.run(request))
  }
  await context.fetcher.fetch(
    [...places.keys()],
    { onRecord: (name, record) => give(name, record, ''), onLost: (name, reason) => give(name, undefined, reason.message) },
    markStarted,
  )
  while (running > 0) await new Promise<void>(resolve => (wake = resolve))
  if (failure) throw failure.error
}

/** Links; those that can't be links (their first name was not restored, or lies on another volume) come back as files of their own. */
async function runLinks(round: Round, context: WindowContext): Promise<Round | undefined> {
  const { pool } = context
  const left: WindowPage[] = []
  const assemblies: Assembly[] = []
  for (const page of round.pages) {
    const { slot, planned } = page
    const links = planned.links.filter(({ index }) => planned.actions[index] === ACTION.link)
    if (links.length === 0) continue
    const ready = links.flatMap(({ index, primary }) => (primary.path === undefined ? [] : [{ index, to: primary.path }]))
    const unlinked = links.flatMap(({ index, primary }) => (primary.path === undefined ? [index] : []))
    if (ready.length > 0) unlinked.push(...absorbInto(round, context, await pool.run({ kind: 'links', slot, links: ready })).unlinked)
    if (unlinked.length === 0) continue
    planned.actions.fill(ACTION.none)
    for (const index of unlinked) {
      planned.actions[index] = actionOf(planned.page, index)
      if (planned.actions[index] !== ACTION.pieces) continue
      const assembly = createAssembly(context.keys, planned.page.path(index))
      addPart(assembly, planned.page, slot, index)
      assemblies.push(assembly)
    }
    pool.broadcast({ kind: 'actions', slot, actions: planned.actions })
    left.push(page)
  }
  return left.length === 0 ? undefined : { pages: left, bySlot: round.bySlot, assemblies, open: undefined }
}
