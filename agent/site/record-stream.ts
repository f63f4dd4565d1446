// Records out of a stream of bytes, whichever way it is cut: each lies in one piece of the record memory, filled as the
// bytes arrive. By events: a gigabyte comes in 65,000 parts, and a promise for each would cost more than copying it.
import type { Readable } from 'node:stream'
import { fault } from '#protocol/errors.ts'
import { parseRecordHeader, RECORD_HEADER_BYTES, recordBytes } from '#protocol/record.ts'
import { createHandover, type OnRecord, type RecordMemory } from './record-memory.ts'
import { chunksDropped } from './short-lived-memory.ts'

/**
 * Takes a stream apart and hands each record over; nothing more is read while the memory has no room. Resolves when all
 * are done with. Lengths are checked against their limits before memory is taken; digests are for who opens the record.
 * The stream is destroyed if that fails.
 *
 * @throws RECORD_CUT, RECORD_INVALID, RECORD_TOO_LARGE, VERSION_UNSUPPORTED, and what `onRecord` throws
 */
export async function readRecords(stream: Readable, memory: RecordMemory, onRecord: OnRecord): Promise<void> {
  const handover = createHandover(memory, onRecord)
  const head = Buffer.allocUnsafe(RECORD_HEADER_BYTES)
  let head_bytes = 0
  let record: Buffer | undefined
  let filled = 0
  const ended = Promise.withResolvers<void>()
  let isOver = false
  const end = (failure?: { error: unknown }): void => {
    if (isOver) return
    isOver = true
    if (failure) {
      ended.reject(failure.error)
      stream.destroy()
    } else ended.resolve()
  }

  /** Takes the bytes of a part from `at` on; the rest of it once there is memory for the next record. */
  const consume = (part: Buffer, from: number): void => {
    let at = from
    while (at < part.length && !isOver) {
      if (!record) {
        const taken = part.copy(head, head_bytes, at, at + RECORD_HEADER_BYTES - head_bytes)
        head_bytes += taken
        at += taken
        if (head_bytes < RECORD_HEADER_BYTES) break
        const piece = memory.take(recordBytes(checkedHeader(head)))
        if (piece instanceof Promise) {
          stream.pause()
          void piece.then(ready => begin(ready)).then(() => goOn(part, at))
          return
        }
        begin(piece)
      } else {
        const taken = part.copy(record, filled, at)
        filled += taken
        at += taken
      }
      if (record && filled === record.length) {
        const whole = record
        record = undefined
        handover.hand(whole)
      }
    }
    chunksDropped(part.length)
  }
  const begin = (piece: Buffer): void => {
    record = piece
    filled = head.copy(piece)
    head_bytes = 0
    if (isOver) giveUp()
  }
  const giveUp = (): void => {
    if (record) memory.give(record)
    record = undefined
  }
  const goOn = (part: Buffer, at: number): void => {
    attempt(() => consume(part, at))
    if (!isWaiting()) stream.resume()
  }
  const isWaiting = (): boolean => head_bytes === RECORD_HEADER_BYTES
  const attempt = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      end({ error })
    }
  }

  stream.on('data', (part: Buffer) => attempt(() => consume(part, 0)))
  stream.on('end', () => (record || head_bytes > 0 ? end({ error: fault('RECORD_CUT') }) : end()))
  stream.on('error', error => end({ error }))
  stream.on('close', () => end({ error: fault('RECORD_CUT') }))
  try {
    await ended.promise
  } finally {
    giveUp()
    await handover.settle()
  }
}

function checkedHeader(head: Buffer): { clear_bytes: number; sealed_bytes: number } {
  const header = parseRecordHeader(head)
  if (header === 'newer') throw fault('VERSION_UNSUPPORTED')
  if (header === 'too-large') throw fault('RECORD_TOO_LARGE')
  if (typeof header === 'string') throw fault('RECORD_INVALID')
  return header
}
