// The restore worker: the one place of the appliance that may open records, in a process of its own, for one restore, with
// the keys of one user. It has one socket to whoever started it (channel.ts, secrets.ts, messages.ts; RESTORE-WORKER.md).
// Invariants:
//   keys are in secure memory only, and wiped before this resolves, however it ends;
//   the archive is complete, or visibly is not: its end is written last, when all before it was checked.
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { type ArchiveKeys, decodeKeyRing, deriveArchiveKeys, wipeSecureBuffer } from '#format/keys.ts'
import { openUserKey } from '#keystore-seal/sealed-key.ts'
import { fault as protocolFault } from '#protocol/errors.ts'
import { EXIT, Fault } from '#protocol/fault.ts'
import { createFetcher } from '#restore/fetch-blocks.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
import { createSender } from './channel.ts'
import { createChecksums } from './checksums.ts'
import { fault } from './errors.ts'
import { checked, lineOf, readLines } from './json-lines.ts'
import { type Failed, type FromWorker, MESSAGE_BYTES_MAX, ORDER_BYTES_MAX, Order, TicketAnswer } from './messages.ts'
import { readSecrets, type Secrets } from './secrets.ts'
import { openStorageSource } from './storage-source.ts'
import { measureTar, writeTar } from './write-tar.ts'
import { measureZip, writeZip } from './write-zip.ts'

type Messages = AsyncGenerator<unknown>

/**
 * Carries out one restore; everything it has to say goes to its socket.
 *
 * @param fd  of the socket
 * @returns the exit code, when the keys are wiped and the socket is done with
 */
export async function runRestoreWorker(fd: number): Promise<number> {
  // Before the runtime has the socket, which would read them into memory of its own.
  const secrets = secretsOrFailure(fd)
  const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true })
  const stop = new AbortController()
  // Whoever reads is gone: there is nobody left to work for.
  socket.on('error', cause => stop.abort(fault('RESTORE_ABORTED', { found: 'a socket that nobody reads', cause })))
  const sender = createSender(socket)
  sender.archive.on('error', () => {})
  stop.signal.addEventListener('abort', () => sender.archive.destroy())
  const say = (message: FromWorker): void => sender.say(lineOf(message))

  let failed: Failed | undefined
  try {
    if (secrets instanceof Error) throw secrets
    await restore(secrets, socket, sender.archive, say, stop)
  } catch (error) {
    failed = failureOf(stop.signal.aborted ? stop.signal.reason : error)
  } finally {
    if (!(secrets instanceof Error)) secrets.wipe()
  }
  if (!failed) await new Promise<void>(resolve => sender.archive.end(resolve))
  say(failed ? { kind: 'failed', failed } : { kind: 'done' })
  await ended(socket)
  return failed?.exit ?? EXIT.done
}

function secretsOrFailure(fd: number): Secrets | Error {
  try {
    return readSecrets(fd)
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

async function restore(secrets: Secrets, socket: Socket, output: Writable, say: (message: FromWorker) => void, stop: AbortController): Promise<void> {
  let bytes_max = ORDER_BYTES_MAX
  const messages = readLines(socket.iterator({ destroyOnReturn: false }), () => bytes_max)
  const order = checked(Order, (await messages.next()).value)
  bytes_max = MESSAGE_BYTES_MAX
  await carryOut(order, secrets, output, say, ticketsOf(messages, say, stop), stop.signal)
}

/** What comes after the orders: answers to each wish for a ticket. Its end is the end of whoever gave the orders. */
function ticketsOf(messages: Messages, say: (message: FromWorker) => void, stop: AbortController): () => Promise<TicketAnswer> {
  let waiting: PromiseWithResolvers<TicketAnswer> | undefined
  const listen = async (): Promise<void> => {
    for await (const message of messages) waiting?.resolve(checked(TicketAnswer, message))
    throw fault('RESTORE_ABORTED')
  }
  listen().catch((error: unknown) => stop.abort(error))
  stop.signal.addEventListener('abort', () => waiting?.reject(stop.signal.reason))
  return async () => {
    stop.signal.throwIfAborted()
    waiting = Promise.withResolvers()
    waiting.promise.catch(() => {})
    say({ kind: 'ticket' })
    return waiting.promise
  }
}

async function carryOut(
  order: Order,
  secrets: Secrets,
  output: Writable,
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
const ended = (socket: Socket): Promise<void> =>
  new Promise(resolve => {
    if (socket.destroyed) return resolve()
    socket.once('close', () => resolve())
    socket.end(() => socket.destroy())
  })
