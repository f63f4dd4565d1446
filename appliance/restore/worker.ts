// The restore worker: the one place of the appliance that may open records, in a process of its own, for one restore, with
// the keys of one user. Its pipes: 0 orders and tickets, 1 the archive, 3 keys, 4 what becomes of it (messages.ts,
// secrets.ts; RESTORE-WORKER.md). Invariants:
//   keys are in secure memory only, and wiped before this resolves, however it ends;
//   the archive is complete, or visibly is not: its end is written last, when all before it was checked.
import { Socket } from 'node:net'
import { type ArchiveKeys, decodeKeyRing, deriveArchiveKeys, wipeSecureBuffer } from '#format/keys.ts'
import { openUserKey } from '#keystore-seal/sealed-key.ts'
import { fault as protocolFault } from '#protocol/errors.ts'
import { EXIT, Fault } from '#protocol/fault.ts'
import { createFetcher } from '#restore/fetch-blocks.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import { createChecksums } from './checksums.ts'
import { fault } from './errors.ts'
import { checked, lineOf, readLines } from './json-lines.ts'
import { type Failed, type FromWorker, MESSAGE_BYTES_MAX, ORDER_BYTES_MAX, Order, TicketAnswer } from './messages.ts'
import { readSecrets, type Secrets } from './secrets.ts'
import { openStorageSource } from './storage-source.ts'
import { measureTar, writeTar } from './write-tar.ts'
import { measureZip, writeZip } from './write-zip.ts'

const ARCHIVE_FD = 1
const SECRETS_FD = 3
const STATUS_FD = 4

type Messages = AsyncGenerator<unknown>

/**
 * Carries out one restore; everything it has to say goes to its pipes.
 *
 * @returns the exit code, when the keys are wiped and all pipes are done with
 */
export async function runRestoreWorker(): Promise<number> {
  const output = new Socket({ fd: ARCHIVE_FD, readable: false, writable: true })
  const status = new Socket({ fd: STATUS_FD, readable: false, writable: true })
  const stop = new AbortController()
  // Whoever reads them is gone: there is nobody left to work for.
  for (const pipe of [output, status]) pipe.on('error', cause => stop.abort(fault('RESTORE_ABORTED', { found: 'a pipe that nobody reads', cause })))
  stop.signal.addEventListener('abort', () => output.destroy())
  const say = (message: FromWorker): void => void status.write(lineOf(message))

  let failed: Failed | undefined
  try {
    await restore(output, say, stop)
  } catch (error) {
    failed = failureOf(stop.signal.aborted ? stop.signal.reason : error)
  }
  process.stdin.destroy()
  if (failed) output.destroy()
  else await ended(output)
  say(failed ? { kind: 'failed', failed } : { kind: 'done' })
  await ended(status)
  return failed?.exit ?? EXIT.done
}

async function restore(output: Socket, say: (message: FromWorker) => void, stop: AbortController): Promise<void> {
  const secrets = readSecrets(SECRETS_FD)
  try {
    let bytes_max = ORDER_BYTES_MAX
    const messages = readLines(process.stdin, () => bytes_max)
    const order = checked(Order, (await messages.next()).value)
    bytes_max = MESSAGE_BYTES_MAX
    await carryOut(order, secrets, output, say, ticketsOf(messages, say, stop), stop.signal)
  } finally {
    secrets.wipe()
  }
}

/** What is on stdin after the orders: answers to each wish for a ticket. Its end is the end of whoever gave the orders. */
function ticketsOf(messages: Messages, say: (message: FromWorker) => void, stop: AbortController): () => Promise<TicketAnswer> {
  let waiting: PromiseWithResolvers<TicketAnswer> | undefined
  const listen = async (): Promise<void> => {
    for await (const message of messages) waiting?.resolve(checked(TicketAnswer, message))
    throw fault('RESTORE_ABORTED')
  }
  listen().catch((error: unknown) => stop.abort(error))
  stop.signal.addEventListener('abort', () => waiting?.reject(stop.signal.reason))
  return () => {
    waiting = Promise.withResolvers()
    waiting.promise.catch(() => {})
    say({ kind: 'ticket' })
    return waiting.promise
  }
}

async function carryOut(
  order: Order,
  secrets: Secrets,
  output: Socket,
  say: (message: FromWorker) => void,
  askTicket: () => Promise<TicketAnswer>,
  signal: AbortSignal,
): Promise<void> {
  const from_bytes = order.resume?.from_bytes ?? 0
  if (from_bytes > 0 && order.snapshot === 'newest') throw fault('RESUME_INVALID', { expected: 'the snapshot that was begun with', found: 'newest' })
  const keys = keysOf(order, secrets)
  try {
    const source = openStorageSource(order, secrets.clientKey, askTicket, signal)
    secrets.wipe()
    const snapshot = await openSnapshotAt(source, keys, order.snapshot === 'newest' ? 'latest' : order.snapshot)
    const walk = { source, keys, pages: snapshot.pages, paths: order.paths }
    const measured = order.format === 'tar' ? await measureTar(walk) : await measureZip(walk)
    if (from_bytes > measured.bytes) throw fault('RESUME_INVALID', { expected: `a byte of ${measured.bytes}`, found: `${from_bytes}` })
    say({ kind: 'begun', begun: { snapshot: snapshot.row.snapshot, ...measured } })
    const checksums = createChecksums(Buffer.from(order.resume?.crcs ?? '', 'base64'))
    let told = checksums.length
    const onSent = (bytes: number): void => {
      say({ kind: 'sent', bytes, crcs: checksums.bytesFrom(told).toString('base64') })
      told = checksums.length
    }
    const options = { fetcher: createFetcher(source), keys, output, from_bytes, signal, onSent }
    if (order.format === 'tar') await writeTar(walk, options)
    else await writeZip(walk, options, checksums)
    await source.close()
  } finally {
    keys.wipe()
    // Ciphers and hashes of the runtime have copies of what they were made with, until they are collected.
    globalThis.gc?.()
  }
}

/** The keys of the order's archive; those of its user are here for no longer than it takes to make them. */
function keysOf({ archive, escrow }: Order, { opened }: Secrets): ArchiveKeys {
  const bytes = openUserKey(Buffer.from(escrow.sealed_key, 'base64'), opened, escrow)
  try {
    const ring = decodeKeyRing(bytes)
    try {
      return deriveArchiveKeys(ring, archive)
    } finally {
      ring.wipe()
    }
  } finally {
    wipeSecureBuffer(bytes)
  }
}

/** What is wrong, for whoever gave the orders. Of our own mistakes only where they are: their text may hold anything. */
function failureOf(error: unknown): Failed {
  if (!(error instanceof Fault)) process.stderr.write(`restore worker: ${error instanceof Error ? (error.stack ?? error.name) : typeof error}\n`)
  const { code, message, next, exit, facts } = error instanceof Fault ? error : protocolFault('INTERNAL')
  return { code, message, next, exit, facts }
}

/** Resolves when all that was written is with the kernel, or nobody wants it any more. */
const ended = (pipe: Socket): Promise<void> =>
  new Promise(resolve => {
    if (pipe.destroyed) return resolve()
    pipe.once('close', () => resolve())
    pipe.end(() => pipe.destroy())
  })
