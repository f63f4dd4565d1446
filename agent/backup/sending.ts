// The way of a block from its plain bytes to the storage node: known already? → compress → seal → send → acknowledged.
// Every step is bounded: the plain bytes by the slots they lie in, the sealed bytes by the record memory, which has them until
// they are acknowledged.
// Invariants: an id is sent once at most; `acknowledged` means durable on the storage node.
import type { ArchiveKeys } from '#format/keys.ts'
import type { Packer } from '#format/pack.ts'
import { recordId, sealedRecordBytes, sealRecord } from '#format/seal.ts'
import { ID_BYTES, type Kind } from '#protocol/record.ts'
import type { RecordMemory } from '#site/record-memory.ts'

/** Sealed bytes that were not acknowledged yet; above it the reader waits. */
export const UNACKNOWLEDGED_BYTES_MAX = 8 * 1024 * 1024
/** Ids of this run that are remembered as sent; beyond them the storage node is asked. */
const SENT_IDS_MAX = 32_768

export type Link = {
  /** Which of these ids (joined) are missing: a bitmap. */
  ask(ids: Buffer): Promise<Uint8Array>
  /** Hands a sealed record over; its memory is used again after `acknowledged(ordinal)`, which follows once it is durable. */
  send(ordinal: number, record: Buffer): void
  /** Nothing more is sent until what was is durable. */
  flush(): void
}

export type SendingOptions = {
  readonly keys: ArchiveKeys
  readonly packer: Packer
  readonly link: Link
  readonly memory: RecordMemory
  /** False while nothing is stored in the archive: then there is nothing to ask about. */
  readonly isAskNeeded: boolean
  /** Whether the newest snapshot's page ids, and so on, need not be sent again. */
  readonly isKnown: (id: Buffer) => boolean
  /** After an acknowledgement: every ordinal up to this one is durable. */
  readonly onDurable: (through: number) => void
}

type Waiting = {
  readonly ordinal: number
  readonly id: Buffer
  readonly kind: Kind
  readonly plain: Buffer
  readonly clear: Buffer
  readonly release: () => void
  readonly keep?: (record: Buffer) => void
}

export function createSending(options: SendingOptions) {
  const { keys, packer, link, memory } = options
  const sent = new Set<string>()
  let isAskNeeded = options.isAskNeeded
  let ordinals = 0
  let through = 0
  const done = new Set<number>()
  const unacknowledged = new Map<number, Buffer>()
  let unacknowledged_bytes = 0
  let asking: Waiting[] = []
  let isAsking = false
  let isDraining = false
  let failure: { error: unknown } | undefined
  let wake: (() => void)[] = []
  const counts = { new_blocks: 0, sealed_bytes: 0 }

  const wakeAll = (): void => {
    const woken = wake
    wake = []
    for (const resolve of woken) resolve()
  }
  const fail = (error: unknown): void => {
    failure ??= { error }
    wakeAll()
  }
  const finish = (ordinal: number): void => {
    done.add(ordinal)
    while (done.delete(through + 1)) through++
    options.onDurable(through)
    wakeAll()
  }
  const sealAndSend = async (item: Waiting): Promise<void> => {
    const { plain, kind, id, clear } = item
    const record = await packer.pack(plain, async packed => {
      const piece = await memory.take(sealedRecordBytes(clear, packed))
      return sealRecord(keys, keys.archive, keys.newestEpoch, kind, id, clear, packed, piece)
    })
    item.release()
    item.keep?.(record)
    unacknowledged.set(item.ordinal, record)
    unacknowledged_bytes += record.length
    counts.sealed_bytes += record.length
    counts.new_blocks++
    link.send(item.ordinal, record)
    if (isDraining) link.flush()
  }
  const ask = async (): Promise<void> => {
    isAsking = true
    while (asking.length > 0) {
      const batch = asking
      asking = []
      const missing = await link.ask(
        Buffer.concat(
          batch.map(item => item.id),
          batch.length * ID_BYTES,
        ),
      )
      batch.forEach((item, i) => {
        if (((missing[i >> 3] >> (i & 7)) & 1) === 1) sealAndSend(item).catch(fail)
        else {
          item.release()
          finish(item.ordinal)
        }
      })
    }
    isAsking = false
  }

  return {
    counts,
    /**
     * Sends a record unless it is stored already. `plain` must stay as it is until `release` is called.
     *
     * @returns its id and its ordinal (see onDurable)
     */
    put(kind: Kind, plain: Buffer, clear: Buffer, release: () => void, keep?: (record: Buffer) => void): { id: Buffer; ordinal: number } {
      const id = recordId(keys, kind, plain)
      const name = id.toString('latin1', 0, 16)
      if (sent.has(name) || options.isKnown(id)) {
        release()
        return { id, ordinal: ordinals }
      }
      if (sent.size >= SENT_IDS_MAX) {
        // The newest must stay: the storage node may not have them yet. Those it has, it answers for.
        let surplus = sent.size - SENT_IDS_MAX / 2
        for (const old of sent) if (surplus-- > 0) sent.delete(old)
        isAskNeeded = true
      }
      sent.add(name)
      const item: Waiting = { ordinal: ++ordinals, id, kind, plain, clear, release, ...(keep ? { keep } : {}) }
      if (!isAskNeeded) sealAndSend(item).catch(fail)
      else {
        asking.push(item)
        if (!isAsking) ask().catch(fail)
      }
      return { id, ordinal: item.ordinal }
    },
    /** These records are durable on the storage node. */
    acknowledged(list: readonly number[]): void {
      for (const ordinal of list) {
        const record = unacknowledged.get(ordinal)
        if (!record) continue
        unacknowledged.delete(ordinal)
        unacknowledged_bytes -= record.length
        memory.give(record)
        finish(ordinal)
      }
    },
    fail,
    /** Waits until there is room for more. */
    async room(): Promise<void> {
      while (!failure && unacknowledged_bytes > UNACKNOWLEDGED_BYTES_MAX) await new Promise<void>(resolve => wake.push(resolve))
      if (failure) throw failure.error
    },
    /** Waits until everything that was put is durable. */
    async drain(): Promise<void> {
      isDraining = true
      link.flush()
      while (!failure && through < ordinals) await new Promise<void>(resolve => wake.push(resolve))
      if (failure) throw failure.error
    },
  }
}

export type Sending = ReturnType<typeof createSending>
