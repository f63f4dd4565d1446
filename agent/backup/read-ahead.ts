// The scan, some files ahead of the backup: the small ones are read meanwhile (read-batch.ts). Bounded by GROUPS times
// the bytes of a batch and GROUP_ENTRIES_MAX entries.
import type { Scan, Scanned } from '#filesystem/scan.ts'
import { BATCH_BYTES, BATCH_FILES_MAX, type Batch, FACT, FACTS, READ_AHEAD_BYTES_MAX } from './read-batch.ts'

const GROUPS = 3
const GROUP_ENTRIES_MAX = 48

export type Prepared = {
  /** The whole content; overwritten once the entries of its group were taken. */
  readonly bytes: Buffer
  /** It was read after this, in ns since 1970. */
  readonly asked_ns: bigint
  readonly hasXattrs: boolean
}
export type Ahead = {
  readonly scanned: Scanned
  /** The file's content, if it was read ahead and is what the scan saw. */
  readonly prepared: Prepared | undefined
}

type Memory = { readonly bytes: SharedArrayBuffer; readonly facts: SharedArrayBuffer; readonly buffer: Buffer; readonly factsOf: BigInt64Array }
type Group = {
  readonly memory: Memory
  readonly entries: readonly Scanned[]
  readonly asked_ns: bigint
  /** Settled once its files were read. */
  readonly read: Promise<void>
  isRead: boolean
  taken: number
  files: number
  at: number
}

const createMemory = (): Memory => {
  const bytes = new SharedArrayBuffer(BATCH_BYTES)
  const facts = new SharedArrayBuffer(BATCH_FILES_MAX * FACTS * BigInt64Array.BYTES_PER_ELEMENT)
  return { bytes, facts, buffer: Buffer.from(bytes), factsOf: new BigInt64Array(facts) }
}

/** Whether a file is read ahead: small, and without holes. */
const isSmall = ({ stats }: Scanned): boolean => stats.isFile() && stats.size <= READ_AHEAD_BYTES_MAX && !stats.mayHaveHoles()

/** @param read  reads the files of a batch (readBatch) and resolves then */
export function createReadAhead(scan: Scan, read: (batch: Batch) => Promise<void>) {
  const groups: Group[] = []
  const free: Memory[] = []
  let memories = 0
  let isEnd = false

  const gather = (memory: Memory): void => {
    const entries: Scanned[] = []
    const paths: string[] = []
    let at = 0
    while (entries.length < GROUP_ENTRIES_MAX && paths.length < BATCH_FILES_MAX && at + READ_AHEAD_BYTES_MAX < BATCH_BYTES) {
      const scanned = scan.next()
      if (!scanned) {
        isEnd = true
        break
      }
      entries.push(scanned)
      if (!isSmall(scanned)) continue
      memory.factsOf[paths.length * FACTS + FACT.size] = BigInt(scanned.stats.size)
      paths.push(scanned.path)
      at += scanned.stats.size + 1
    }
    const asked_ns = BigInt(Date.now()) * 1_000_000n
    const asked = paths.length === 0 ? Promise.resolve() : read({ paths: paths.join('\0'), bytes: memory.bytes, facts: memory.facts })
    const group: Group = { memory, entries, asked_ns, read: asked.then(() => void (group.isRead = true)), isRead: false, taken: 0, files: 0, at: 0 }
    groups.push(group)
  }

  const preparedOf = (group: Group, { stats }: Scanned): Prepared | undefined => {
    const { factsOf, buffer } = group.memory
    const fact = group.files++ * FACTS
    const from = group.at
    const { size } = stats
    group.at += size + 1
    const isSame =
      Number(factsOf[fact + FACT.read_bytes]) === size &&
      Number(factsOf[fact + FACT.size]) === size &&
      factsOf[fact + FACT.mtime_ns] === stats.mtime_ns &&
      factsOf[fact + FACT.ctime_ns] === stats.ctime_ns &&
      factsOf[fact + FACT.ino] === stats.ino
    return isSame ? { bytes: buffer.subarray(from, from + size), asked_ns: group.asked_ns, hasXattrs: factsOf[fact + FACT.hasXattrs] !== 0n } : undefined
  }

  return {
    /**
     * To be called, and awaited, before each take().
     *
     * @param isAll  every file from here on will be wanted: files are read ahead
     * @returns      undefined if the next entry is at hand
     */
    ready(isAll: boolean): Promise<void> | undefined {
      const [first] = groups
      if (first && first.taken === first.entries.length) {
        groups.shift()
        free.push(first.memory)
      }
      while (isAll && !isEnd && groups.length < GROUPS) {
        if (free.length === 0 && memories++ < GROUPS) free.push(createMemory())
        gather(free.pop() as Memory)
      }
      return groups[0] && !groups[0].isRead ? groups[0].read : undefined
    },
    /** The next entry of the scan; undefined at its end. */
    take(): Ahead | undefined {
      const [group] = groups
      if (!group) {
        const scanned = isEnd ? undefined : scan.next()
        return scanned && { scanned, prepared: undefined }
      }
      const scanned = group.entries[group.taken++]
      return scanned && { scanned, prepared: isSmall(scanned) ? preparedOf(group, scanned) : undefined }
    },
  }
}
