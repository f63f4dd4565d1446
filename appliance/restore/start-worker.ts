// Starts a restore worker and looks after it. This is all that the authority knows of it: nothing here, nor anything that is
// imported here, could open a record.
import { type ChildProcess, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, type Writable } from 'node:stream'
import { Fault } from '#protocol/fault.ts'
import { fault } from './errors.ts'
import { checked, lineOf, readLines } from './json-lines.ts'
import { type Begun, CRCS_BYTES_MAX, type Failed, FromWorker, MESSAGE_BYTES_MAX, type Order, type TicketAnswer } from './messages.ts'

const ROOT = realpathSync(join(import.meta.dirname, '../..'))
const MAIN = join(import.meta.dirname, 'main.ts')
/** What is told to end is ended for it after so long. */
const ABORT_MS = 5_000

/**
 * The permission model: reading only the checkout; no writing, no processes, no threads. Network and addons (sodium, koffi)
 * it needs. Then a heap that is kept small by hand (parts.ts): what is large lies outside of it (node-flags.ts of the storage node
 * says why each flag).
 */
const FLAGS: readonly string[] = [
  '--permission',
  `--allow-fs-read=${ROOT}`,
  // Whoever loads an addon looks whether this is Alpine Linux.
  '--allow-fs-read=/etc/alpine-release',
  '--allow-addons',
  '--allow-net',
  '--disable-warning=SecurityWarning',
  '--disable-warning=ExperimentalWarning',
  '--disallow-code-generation-from-strings',
  '--max-old-space-size=256',
  '--max-semi-space-size=1',
  '--expose-gc',
  '--no-incremental-marking',
  '--single-threaded-gc',
  '--no-flush-bytecode',
]

/** Nothing of our own environment. Few arenas, and large buffers go back to the system when they are freed. No cache of modules: that would be written to. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_TRIM_THRESHOLD_: '8388608',
}

export type RestoreKeys = {
  /** What the keystore opened: one half of the user's keys. The other is in the order, and only the worker puts them together. */
  readonly opened: Buffer
  /** Of the order's certificate, in PEM. */
  readonly clientKey: Buffer
  /** Asked when the worker begins, and again before each ends: good for the archive, the verb `restore` and the certificate. */
  readonly ticket: () => Promise<TicketAnswer>
}

/** All of it was sent; or why not, with what a restore that goes on needs besides the number of bytes that came. */
export type Outcome = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly failed: Failed; readonly crcs: string }

export type RunningRestore = {
  /** Before the first byte: how long all of it is. Rejects if it does not come to that. */
  readonly begun: Promise<Begun>
  /** The archive, from the wanted byte on. Ends only if all of it came; else it is destroyed with RESTORE_INCOMPLETE. */
  readonly output: Readable
  /** How it ended; never rejects. The process is gone. */
  readonly outcome: Promise<Outcome>
  /** Ends it now. */
  abort(): void
}

/**
 * Starts a worker for one restore.
 *
 * @param keys  both buffers are zeroed as soon as they are handed over, or that failed, and stay the caller's, to free after the outcome
 * @param main  another program of the same pipes, for tests
 */
export function startRestoreWorker(order: Order, keys: RestoreKeys, main: string = MAIN): RunningRestore {
  const child = spawn(process.execPath, [...FLAGS, main], { stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe'], env: ENVIRONMENT, cwd: ROOT })
  const [stdin, stdout, , secrets, status] = child.stdio as unknown as [Writable, Readable, null, Writable, Readable]
  // What can't be written is not wanted: the process has ended, and its end says why.
  for (const pipe of [stdin, secrets]) pipe.on('error', () => {})
  status.on('error', () => {})
  const handedOver = handOver(secrets, keys)
  stdin.write(lineOf(order))

  let timer: NodeJS.Timeout | undefined
  const abort = (): void => {
    stdin.destroy()
    timer ??= setTimeout(() => child.kill('SIGKILL'), ABORT_MS)
  }
  const begun = Promise.withResolvers<Begun>()
  begun.promise.catch(() => {})
  const crcs: Buffer[] = [Buffer.from(order.resume?.crcs ?? '', 'base64')]
  const outcome = follow(child, status, {
    onTicketWanted: async () => void stdin.write(lineOf(await keys.ticket())),
    onBegun: begun.resolve,
    onSent: text => void crcs.push(Buffer.from(text, 'base64')),
    abort,
  }).then(async (failed): Promise<Outcome> => {
    clearTimeout(timer)
    await handedOver
    begun.reject(incomplete(failed))
    return failed ? { kind: 'failed', failed, crcs: Buffer.concat(crcs).toString('base64', 0, CRCS_BYTES_MAX) } : { kind: 'done' }
  })
  const output = Readable.from(archive(stdout, outcome), { objectMode: false })
  // Whoever wanted it is gone, maybe before the first byte.
  output.once('close', () => {
    if (!stdout.readableEnded) abort()
    stdout.destroy()
  })
  return { begun: begun.promise, output, outcome, abort }
}

/** Resolves when both are zeroed. */
async function handOver(pipe: Writable, { opened, clientKey }: RestoreKeys): Promise<void> {
  const closed = new Promise(resolve => pipe.once('close', resolve))
  pipe.write(opened)
  pipe.end(clientKey, () => pipe.destroy())
  await closed
  opened.fill(0)
  clientKey.fill(0)
}

type Listeners = {
  readonly onTicketWanted: () => Promise<void>
  readonly onBegun: (begun: Begun) => void
  readonly onSent: (crcs: string) => void
  readonly abort: () => void
}

/** Listens until the process is gone; returns why it failed, or undefined if all was sent. */
async function follow(child: ChildProcess, status: Readable, { onTicketWanted, onBegun, onSent, abort }: Listeners): Promise<Failed | undefined> {
  const gone = new Promise<string>(resolve => {
    child.once('error', error => resolve(`a process that did not start: ${(error as NodeJS.ErrnoException).code ?? error.name}`))
    child.once('exit', (code, signal) => resolve(`a process that ended with ${signal ?? code}`))
  })
  let failed: Failed | undefined
  let isDone = false
  const fail = (error: unknown): void => {
    failed ??= failureOf(error)
    abort()
  }
  try {
    for await (const line of readLines(status, () => MESSAGE_BYTES_MAX)) {
      const message = checked(FromWorker, line)
      if (message.kind === 'ticket') onTicketWanted().catch(fail)
      else if (message.kind === 'begun') onBegun(message.begun)
      else if (message.kind === 'sent') onSent(message.crcs)
      else if (message.kind === 'failed') failed ??= message.failed
      else isDone = true
    }
  } catch (error) {
    fail(error)
  }
  const found = await gone
  return failed ?? (isDone ? undefined : failureOf(fault('RESTORE_INCOMPLETE', { found })))
}

function failureOf(error: unknown): Failed {
  const { code, message, next, exit, facts } = error instanceof Fault ? error : fault('RESTORE_INCOMPLETE', { found: 'no ticket', cause: error })
  return { code, message, next, exit, facts }
}

const incomplete = (failed: Failed | undefined): Error =>
  fault('RESTORE_INCOMPLETE', failed ? { found: failed.code, next: failed.next, facts: failed.facts } : {})

/** What the worker sends; its end is an error unless the worker says that it was all. */
async function* archive(stdout: Readable, outcome: Promise<Outcome>): AsyncGenerator<Buffer> {
  for await (const part of stdout as AsyncIterable<Buffer>) yield part
  const ended = await outcome
  if (ended.kind === 'failed') throw incomplete(ended.failed)
}
