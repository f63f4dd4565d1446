// Cuts a stream of joined records into batches, whichever way the stream itself is cut. Invariants:
//   a header is parsed and its limits are checked before memory for its record is asked for;
//   a record's memory is taken whole before its first byte is placed;
//   a header never straddles two slots (the digest worker relies on it);
//   a batch holds whole records only.
import type { Framed } from '#archive/append.ts'
import { fault } from '#protocol/errors.ts'
import { FORMAT_VERSION, parseRecordHeader, RECORD_HEADER_BYTES, type RecordHeader, recordBytes } from '#protocol/record.ts'
import { type MemoryPool, SLOT_BYTES, type Slot } from './memory-pool.ts'

/** A batch goes on its way when it has so many bytes or records: several together fill one flush of the disk. */
export const BATCH_BYTES = 1024 * 1024
export const BATCH_RECORDS_MAX = 2048

export type Batch = { readonly records: readonly Framed[]; readonly plan: readonly number[]; readonly slots: readonly Slot[] }

export type Cutter = {
  /** Takes the bytes of `chunk` from `at` on, and returns how far it came: less than the whole if it needs slots first. */
  feed(chunk: Buffer, at: number): number
  /** Slots that the next record needs before `feed` goes on; 0 if it can go on. Nothing is held meanwhile. */
  needs(): number
  give(slots: Slot[]): void
  /** Hands the whole records on that are left over, and gives up the rest: nothing may be fed any more. */
  flush(): void
  isInsideRecord(): boolean
}

/**
 * @param check    refuses a record by its header (throws)
 * @param onBatch  gets the batch and one use of each of its slots
 */
export function createCutter(pool: MemoryPool, check: (header: RecordHeader) => void, onBatch: (batch: Batch) => void): Cutter {
  let head = Buffer.allocUnsafe(RECORD_HEADER_BYTES)
  let head_bytes = 0
  let header: RecordHeader | undefined
  /** Slots of the batch that is being filled; the last ones belong to the record under way. */
  let slots: Slot[] = []
  /** Which of them is being filled, and how far. */
  let slot = 0
  let fill_bytes = 0
  let rest_bytes = 0
  let isPlaced = false
  let pieces: Uint8Array[] = []
  let spans: number[] = []
  let records: Framed[] = []
  let plan: number[] = []
  let batch_bytes = 0

  const roomInSlot = (): number => (slots.length === 0 ? 0 : SLOT_BYTES - fill_bytes)
  /** Slots that a record of this length needs beyond the current one. */
  const slotsFor = (length: number): number => {
    const room = roomInSlot()
    return Math.ceil((length - (room < RECORD_HEADER_BYTES ? 0 : Math.min(room, length))) / SLOT_BYTES)
  }

  const place = (source: Buffer, from: number, to: number): void => {
    let at = from
    while (at < to) {
      if (fill_bytes === SLOT_BYTES) {
        slot++
        fill_bytes = 0
      }
      const target = slots[slot] as Slot
      const taken = Math.min(to - at, SLOT_BYTES - fill_bytes)
      source.copy(target.bytes, fill_bytes, at, at + taken)
      span(target, fill_bytes, taken)
      fill_bytes += taken
      at += taken
    }
    rest_bytes -= to - from
  }
  const span = (target: Slot, from: number, length: number): void => {
    const offset = target.offset + from
    const last = spans.length - 1
    if (last > 0 && (spans[last - 1] as number) + (spans[last] as number) === offset) spans[last] = (spans[last] as number) + length
    else spans.push(offset, length)
  }

  /** Takes the slots over for the record whose header was read, and places that header. */
  const give = (taken: Slot[]): void => {
    if (slots.length > 0 && roomInSlot() < RECORD_HEADER_BYTES) fill_bytes = SLOT_BYTES
    slots.push(...taken)
    isPlaced = true
    place(head, 0, RECORD_HEADER_BYTES)
    head = Buffer.allocUnsafe(RECORD_HEADER_BYTES)
    head_bytes = 0
    if (rest_bytes === 0) finish()
  }
  const finish = (): void => {
    for (let at = 0; at < spans.length; at += 2) pieces.push(Buffer.from(pool.shared, spans[at] as number, spans[at + 1] as number))
    records.push({ header: header as RecordHeader, pieces })
    plan.push(spans.length / 2, ...spans)
    batch_bytes += recordBytes(header as RecordHeader)
    header = undefined
    isPlaced = false
    pieces = []
    spans = []
    if (batch_bytes >= BATCH_BYTES || records.length >= BATCH_RECORDS_MAX) handOver(true)
  }
  /** Hands whole records on. The slot under way stays with the cutter too, if more records may come into it. */
  const handOver = (staysOpen: boolean): void => {
    const current = slots[slot]
    const stays = staysOpen && current !== undefined && roomInSlot() >= RECORD_HEADER_BYTES
    if (stays) current.users++
    const batch = { records, plan, slots }
    slots = stays ? [current] : []
    slot = 0
    if (!stays) fill_bytes = 0
    records = []
    plan = []
    batch_bytes = 0
    if (batch.records.length > 0) onBatch(batch)
    else pool.release(batch.slots)
  }

  return {
    feed(chunk, from) {
      let at = from
      while (at < chunk.length) {
        if (!header) {
          const taken = chunk.copy(head, head_bytes, at, at + RECORD_HEADER_BYTES - head_bytes)
          head_bytes += taken
          at += taken
          if (head_bytes < RECORD_HEADER_BYTES) break
          header = checkedHeader(head, check)
          rest_bytes = recordBytes(header)
        }
        if (!isPlaced) {
          const taken = pool.take(slotsFor(rest_bytes))
          if (!taken) {
            handOver(false)
            return at
          }
          give(taken)
          if (!header) continue
        }
        const end = Math.min(chunk.length, at + rest_bytes)
        place(chunk, at, end)
        at = end
        if (rest_bytes === 0) finish()
      }
      return at
    },
    needs: () => (header && !isPlaced ? slotsFor(rest_bytes) : 0),
    give,
    flush: () => handOver(false),
    isInsideRecord: () => header !== undefined || head_bytes > 0,
  }
}

function checkedHeader(head: Buffer, check: (header: RecordHeader) => void): RecordHeader {
  const header = parseRecordHeader(head)
  if (header === 'newer') throw fault('VERSION_UNSUPPORTED', { expected: `record format ${FORMAT_VERSION}`, found: `${head[3]}` })
  if (header === 'too-large') throw fault('RECORD_TOO_LARGE')
  if (typeof header === 'string') throw fault('RECORD_INVALID', { expected: 'the header of a record', found: 'other bytes' })
  check(header)
  return header
}
