// The one socket between a restore worker and who started it. Towards the worker: the secrets (secrets.ts), then one message
// a line (messages.ts). Back: frames, each of a kind, of which the archive's and the messages' come in the order in which they were sent.
//   frame = kind (1 byte) ‖ length (3 bytes, big-endian) ‖ bytes
import type { Socket } from 'node:net'
import { PassThrough, type Readable, Writable } from 'node:stream'
import { fault } from './errors.ts'

/** Where a worker finds it, unless it is told. */
export const WORKER_FD = 3
/** Before the secrets: how long they are. */
export const SECRETS_LENGTH_BYTES = 4

const KIND = { archive: 0, message: 1 } as const
const HEADER_BYTES = 4
const FRAME_BYTES_MAX = 0xff_ff_ff

/** What the worker writes to: each write is done when the kernel has it. */
export function createSender(socket: Socket): { readonly archive: Writable; say(line: string): void } {
  const send = (kind: number, bytes: Buffer, done?: (error?: Error | null) => void): void => {
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt32BE(kind * 2 ** 24 + bytes.length)
    socket.cork()
    socket.write(header)
    socket.write(bytes, done)
    socket.uncork()
  }
  const archive = new Writable({
    write(bytes: Buffer, _encoding, done) {
      for (let at = 0; at < bytes.length; at += FRAME_BYTES_MAX) {
        const part = bytes.subarray(at, at + FRAME_BYTES_MAX)
        send(KIND.archive, part, at + part.length === bytes.length ? done : undefined)
      }
    },
  })
  return { archive, say: line => send(KIND.message, Buffer.from(line)) }
}

/**
 * Takes the frames apart, until the socket ends. Whoever does not read the archive holds the worker up, and the messages behind it.
 *
 * @returns archive and messages: both end when the socket does; broken: resolves then, with ORDER_INVALID if the frames were none
 */
export function takeApart(socket: Readable): { readonly archive: Readable; readonly messages: Readable; readonly ended: Promise<Error | undefined> } {
  const archive = new PassThrough()
  const messages = new PassThrough()
  for (const stream of [archive, messages]) stream.on('error', () => {})
  const ended = pass(socket, archive, messages).then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  )
  void ended.then(() => {
    archive.end()
    messages.end()
  })
  return { archive, messages, ended }
}

async function pass(socket: Readable, archive: PassThrough, messages: PassThrough): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES)
  let header_bytes = 0
  let left_bytes = 0
  let target = archive
  for await (const read of socket as AsyncIterable<Buffer>) {
    let rest = read
    while (rest.length > 0) {
      if (left_bytes === 0) {
        const taken = rest.copy(header, header_bytes, 0, HEADER_BYTES - header_bytes)
        rest = rest.subarray(taken)
        header_bytes += taken
        if (header_bytes < HEADER_BYTES) continue
        header_bytes = 0
        left_bytes = header.readUIntBE(1, 3)
        if (header[0] !== KIND.archive && header[0] !== KIND.message) throw fault('ORDER_INVALID', { expected: 'a frame', found: 'something else' })
        target = header[0] === KIND.archive ? archive : messages
        continue
      }
      const part = rest.subarray(0, left_bytes)
      rest = rest.subarray(part.length)
      left_bytes -= part.length
      // What nobody wants any more is read all the same, so that the messages behind it come.
      if (!target.destroyed && !target.write(part)) await roomIn(target)
    }
  }
}

/** Resolves when more can be written, or nobody wants it any more. */
const roomIn = (target: PassThrough): Promise<void> =>
  new Promise(resolve => {
    const go = (): void => {
      target.off('drain', go).off('close', go)
      resolve()
    }
    target.on('drain', go).on('close', go)
  })
