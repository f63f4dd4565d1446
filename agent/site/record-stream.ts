// Records out of a stream of bytes, whichever way it is cut: each in a buffer of its own, filled as the bytes arrive.
import { fault } from '#protocol/errors.ts'
import { parseRecordHeader, RECORD_HEADER_BYTES, recordBytes } from '#protocol/record.ts'

/**
 * Takes a stream apart and hands each record over; while the promise of `onRecord` is pending nothing more is read.
 * Lengths are checked against their limits before anything is allocated; digests are for who opens the record.
 *
 * @throws RECORD_CUT, RECORD_INVALID, RECORD_TOO_LARGE, VERSION_UNSUPPORTED
 */
export async function readRecords(stream: AsyncIterable<Buffer>, onRecord: (record: Buffer) => Promise<void> | void): Promise<void> {
  const head = Buffer.allocUnsafe(RECORD_HEADER_BYTES)
  let head_bytes = 0
  let record: Buffer | undefined
  let filled = 0
  for await (const part of stream) {
    let at = 0
    while (at < part.length) {
      if (!record) {
        const taken = part.copy(head, head_bytes, at, at + RECORD_HEADER_BYTES - head_bytes)
        head_bytes += taken
        at += taken
        if (head_bytes < RECORD_HEADER_BYTES) break
        record = Buffer.allocUnsafeSlow(recordBytes(checkedHeader(head)))
        filled = head.copy(record)
        head_bytes = 0
      } else {
        const taken = part.copy(record, filled, at)
        filled += taken
        at += taken
      }
      if (filled === record.length) {
        const whole = record
        record = undefined
        const pending = onRecord(whole)
        if (pending) await pending
      }
    }
  }
  if (record || head_bytes > 0) throw fault('RECORD_CUT')
}

function checkedHeader(head: Buffer): { clear_bytes: number; sealed_bytes: number } {
  const header = parseRecordHeader(head)
  if (header === 'newer') throw fault('VERSION_UNSUPPORTED')
  if (header === 'too-large') throw fault('RECORD_TOO_LARGE')
  if (typeof header === 'string') throw fault('RECORD_INVALID')
  return header
}
