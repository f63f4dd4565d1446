// Reading many records in one answer, over as many connections as it takes: what came is not asked for again. Invariant:
// every record of the list is handed over exactly once, or the call throws.
import type { IncomingMessage } from 'node:http'
import { splitIds } from '#protocol/clear-part.ts'
import { fault } from './errors.ts'
import type { OnRecord, RecordMemory } from './record-memory.ts'
import { readRecords } from './record-stream.ts'
import { faultOfConnection, sendRepeatedly } from './request.ts'

/** Where the id lies in a record. */
const ID_OFFSET = 20
const ID_END = 52

/**
 * @param ask  asks for joined ids
 * @throws ANSWER_INVALID  something else came than was asked for; whatever `ask` and `onRecord` throw
 */
export async function readEach(
  ids: Buffer,
  ask: (ids: Buffer) => Promise<IncomingMessage>,
  memory: RecordMemory,
  onRecord: OnRecord,
  signal?: AbortSignal,
): Promise<void> {
  const open = new Map(splitIds(ids).map(id => [id.toString('latin1'), id]))
  let count = open.size
  const hasMoved = (): boolean => {
    const before = count
    count = open.size
    return count < before
  }
  let failure: { error: unknown } | undefined
  const take = (record: Buffer): Promise<void> | void => {
    if (!open.delete(record.toString('latin1', ID_OFFSET, ID_END))) throw fault('ANSWER_INVALID', { expected: 'records that were asked for', found: 'another' })
    return onRecord(record)
  }
  const once = async (): Promise<void> => {
    if (failure) return
    // Asking is tried again by who asks; what is tried again here is an answer that broke off.
    const answer = await ask(Buffer.concat([...open.values()])).catch((error: unknown) => {
      failure = { error }
    })
    if (!answer) return
    const guarded: OnRecord = async record => {
      try {
        await take(record)
      } catch (error) {
        failure = { error }
        throw error
      }
    }
    try {
      await readRecords(answer, memory, guarded)
    } catch (error) {
      answer.destroy()
      // What the caller throws is not for us to try again.
      if (!failure) throw faultOfConnection(error)
    }
    if (!failure && open.size > 0) throw fault('ANSWER_INVALID', { expected: `${count} records`, found: `${count - open.size}` })
  }
  if (count > 0) await sendRepeatedly(once, { signal, hasMoved })
  if (failure) throw failure.error
}
