// Records out of a stream of bytes, whichever way it is cut: each lies in one piece of the record memory, filled as the
// bytes arrive.
import { fault } from '#protocol/errors.ts'
import { parseRecordHeader, RECORD_HEADER_BYTES, recordBytes } from '#protocol/record.ts'
import { createHandover, type OnRecord, type RecordMemory } from './record-memory.ts'
import { chunksDropped } from './short-lived-memory.ts'

/**
 * Takes a stream apart and hands each record over; nothing more is read while the memory has no room. Resolves when all
 * are done with. Lengths are checked against their limits before memory is taken; digests are for who opens the record.
 *
 * @throws RECORD_CUT, RECORD_INVALID, RECORD_TOO_LARGE, VERSION_UNSUPPORTED, and what `onRecord` throws
 */
export async function readRecords(stream: AsyncIterable<Buffer>, memory: RecordMemory, onRecord: OnRecord): Promise<void> {
  const handover = createHandover(memory, onRecord)
  const head = Buffer.allocUnsafe(RECORD_HEADER_BYTES)
  let head_bytes = 0
  let record: Buffer | undefined
  let filled = 0
  try {
    for await (const part of stream) {
      let at = 0
      while (at < part.length) {
        if (!record) {
          const taken = part.copy(head, head_bytes, at, at + RECORD_HEADER_BYTES - head_bytes)
          head_bytes += taken
          at += taken
          if (head_bytes < RECORD_HEADER_BYTES) break
          const piece = memory.take(recordBytes(checkedHeader(head)))
          record = piece instanceof Promise ? await piece : piece
          filled = head.copy(record)
          head_bytes = 0
        } else {
          const taken = part.copy(record, filled, at)
          filled += taken
          at += taken
        }
        if (filled === record.length) {
          handover.hand(record)
          record = undefined
        }
      }
      chunksDropped(part.length)
    }
    if (record || head_bytes > 0) throw fault('RECORD_CUT')
  } finally {
    if (record) memory.give(record)
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
