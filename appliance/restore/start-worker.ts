// Starts a restore worker and looks after it. This is all that the authority knows of it: nothing here, nor anything that is
// imported here, could open a record.
import { spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Fault } from '#protocol/fault.ts'
import { SECRETS_LENGTH_BYTES, takeApart, WORKER_FD } from './channel.ts'
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
export const WORKER_FLAGS: readonly string[] = [
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
export const WORKER_ENVIRONMENT: Readonly<Record<string, string>> = {
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

/** A worker's process, and how to end it. */
export type WorkerProcess = {
  readonly socket: Socket
  /** What it was, when it is gone. */
  readonly gone: Promise<string>
  kill(): void
}

/** Starts a worker as a child of this process. */
export function spawnWorker(main: string = MAIN): WorkerProcess {
  const child = spawn(process.execPath, [...WORKER_FLAGS, main], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'], env: WORKER_ENVIRONMENT, cwd: ROOT })
  return {
    socket: child.stdio[WORKER_FD] as Socket,
    gone: new Promise(resolve => {
      child.once('error', error => resolve(`a process that did not start: ${(error as NodeJS.ErrnoException).code ?? error.name}`))
      child.once('exit', (code, signal) => resolve(`a process that ended with ${signal ?? code}`))
    }),
    kill: () => child.kill('SIGKILL'),
  }
}

/** Has a service manager start one, as a system user of its own: it does for each connection to this path. */
export function connectWorker(path: string): WorkerProcess {
  const socket = createConnection(path)
  let found = 'a process that ended'
  socket.once('error', error => {
    found = `a connection that failed: ${(error as NodeJS.ErrnoException).code ?? error.name}`
  })
  return { socket, gone: new Promise(resolve => socket.once('close', () => resolve(found))), kill: () => socket.destroy() }
}

/**
 * Hands a restore to a worker.
 *
 * @param keys  both buffers are zeroed as soon as they are handed over, or that failed, and stay the caller's, to free after the outcome
 */
export function startRestoreWorker(order: Order, keys: RestoreKeys, worker: WorkerProcess = spawnWorker()): RunningRestore {
  const { socket } = worker
  // What can't be written is not wanted: the process has ended, and its end says why.
  socket.on('error', () => {})
  const { archive: stdout, messages, ended } = takeApart(socket)
  const handedOver = handOver(socket, keys)
  socket.write(lineOf(order))

  let timer: NodeJS.Timeout | undefined
  const abort = (): void => {
    socket.end()
    // Nobody has to read it any more for the messages behind it to come.
    stdout.destroy()
    timer ??= setTimeout(worker.kill, ABORT_MS)
  }
  const begun = Promise.withResolvers<Begun>()
  begun.promise.catch(() => {})
  const crcs: Buffer[] = [Buffer.from(order.resume?.crcs ?? '', 'base64')]
  const outcome = follow(worker.gone, messages, {
    onTicketWanted: async () => void socket.write(lineOf(await keys.ticket())),
    onBegun: begun.resolve,
    onSent: text => void crcs.push(Buffer.from(text, 'base64')),
    unframed: ended,
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
async function handOver(socket: Socket, { opened, clientKey }: RestoreKeys): Promise<void> {
  const length = Buffer.alloc(SECRETS_LENGTH_BYTES)
  length.writeUInt32BE(opened.length + clientKey.length)
  socket.write(length)
  socket.write(opened)
  // Whether the kernel has them, or never will.
  await new Promise(resolve => socket.write(clientKey, resolve))
  opened.fill(0)
  clientKey.fill(0)
}

type Listeners = {
  readonly onTicketWanted: () => Promise<void>
  readonly onBegun: (begun: Begun) => void
  readonly onSent: (crcs: string) => void
  /** Why what came was not what a worker sends; undefined if it was. */
  readonly unframed: Promise<Error | undefined>
  readonly abort: () => void
}

/** Listens until the process is gone; returns why it failed, or undefined if all was sent. */
async function follow(gone: Promise<string>, messages: Readable, { onTicketWanted, onBegun, onSent, unframed, abort }: Listeners): Promise<Failed | undefined> {
  let failed: Failed | undefined
  let isDone = false
  const fail = (error: unknown): void => {
    failed ??= failureOf(error)
    abort()
  }
  try {
    for await (const line of readLines(messages, () => MESSAGE_BYTES_MAX)) {
      const message = checked(FromWorker, line)
      if (message.kind === 'ticket') onTicketWanted().catch(fail)
      else if (message.kind === 'begun') onBegun(message.begun)
      else if (message.kind === 'sent') onSent(message.crcs)
      else if (message.kind === 'failed') failed ??= message.failed
      else isDone = true
    }
    const error = await unframed
    // Any other is the end of the process, which says more.
    if (error instanceof Fault) fail(error)
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
  try {
    for await (const part of stdout as AsyncIterable<Buffer>) yield part
  } catch (error) {
    // Ended by abort(): the outcome says why. Anything else is whoever reads, who wants no more.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
  const ended = await outcome
  if (ended.kind === 'failed') throw incomplete(ended.failed)
}
