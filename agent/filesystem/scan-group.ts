// A run of scanned entries in shared memory, filled by the thread that scans (scan.ts) and read by the one that has the
// key. Overwritten with the next run once it was read. Paths are not in it: an entry lies in the directory that was the
// last one before it with a depth of one less.
import { FACT_WORDS, FileStats, type Words, wordsOf } from './file-stats.ts'

export const GROUP_ENTRIES_MAX = 256
/** Names behind one another. */
const NAMES_BYTES = 64 * 1024
/** Contents of small files behind one another, each with one byte more than its size. */
const CONTENT_BYTES = 512 * 1024
/** Longer files are read by the thread that stores them. */
export const SMALL_CONTENT_BYTES_MAX = 128 * 1024

/** Words that an entry has behind its facts. */
const EXTRA = { depth: FACT_WORDS, flags: FACT_WORDS + 1, name_at: FACT_WORDS + 2, name_bytes: FACT_WORDS + 3, content_at: FACT_WORDS + 4 }
/** Even, so that numbers of 64 bits stay aligned. */
const ENTRY_WORDS = FACT_WORDS + 6
const ENTRIES_BYTES = GROUP_ENTRIES_MAX * ENTRY_WORDS * 4
const GROUP_BYTES = ENTRIES_BYTES + NAMES_BYTES + CONTENT_BYTES

/** `isAbove`: a directory on the way to a root: of what is in it, only what leads there is scanned. `hasContent`: it was read whole. */
export const FLAG = { isAbove: 1, hasContent: 2, hasXattrs: 4 } as const

export type ScanGroup = {
  readonly shared: SharedArrayBuffer
  readonly words: Words
  readonly names: Buffer
  readonly content: Buffer
}

/** A group over new memory, or over that of the other thread. */
export function createScanGroup(shared: SharedArrayBuffer = new SharedArrayBuffer(GROUP_BYTES)): ScanGroup {
  return {
    shared,
    words: wordsOf(shared, 0, ENTRIES_BYTES / 4),
    names: Buffer.from(shared, ENTRIES_BYTES, NAMES_BYTES),
    content: Buffer.from(shared, ENTRIES_BYTES + NAMES_BYTES, CONTENT_BYTES),
  }
}

/** Where the words of an entry begin. */
export const entryWord = (i: number): number => i * ENTRY_WORDS

export const depthOf = ({ words }: ScanGroup, i: number): number => words.u32[i * ENTRY_WORDS + EXTRA.depth] as number
export const flagsOf = ({ words }: ScanGroup, i: number): number => words.u32[i * ENTRY_WORDS + EXTRA.flags] as number
export const nameStart = ({ words }: ScanGroup, i: number): number => words.u32[i * ENTRY_WORDS + EXTRA.name_at] as number
export const nameBytes = ({ words }: ScanGroup, i: number): number => words.u32[i * ENTRY_WORDS + EXTRA.name_bytes] as number

/** The name as a byte string. */
export const nameOf = (group: ScanGroup, i: number): string => {
  const start = nameStart(group, i)
  return group.names.toString('latin1', start, start + nameBytes(group, i))
}
export const statsOf = (group: ScanGroup, i: number): FileStats => new FileStats(group.words, entryWord(i))

/** The content of an entry with FLAG.hasContent: a view that lasts as long as the group. */
export function contentOf(group: ScanGroup, i: number, size: number): Buffer {
  const start = group.words.u32[i * ENTRY_WORDS + EXTRA.content_at] as number
  return group.content.subarray(start, start + size)
}

/** Writes entries one after another. */
export function createGroupWriter(group: ScanGroup) {
  const { u32 } = group.words
  let names_bytes = 0
  let content_bytes = 0
  const writer = {
    count: 0,
    /** Whether there is room for one more entry. */
    hasRoom: (name_bytes: number): boolean => writer.count < GROUP_ENTRIES_MAX && names_bytes + name_bytes <= NAMES_BYTES,
    /** Room for the content of the next entry, if it is there. */
    contentRoom: (bytes: number): Buffer | undefined =>
      content_bytes + bytes <= CONTENT_BYTES ? group.content.subarray(content_bytes, content_bytes + bytes) : undefined,
    /** The next entry, whose facts are there already. `kept_bytes` of the content room stay with it. */
    add(name: string, depth: number, flags: number, kept_bytes: number): void {
      const at = writer.count * ENTRY_WORDS
      u32[at + EXTRA.depth] = depth
      u32[at + EXTRA.flags] = flags
      u32[at + EXTRA.name_at] = names_bytes
      u32[at + EXTRA.name_bytes] = name.length
      u32[at + EXTRA.content_at] = content_bytes
      names_bytes += group.names.write(name, names_bytes, 'latin1')
      content_bytes += kept_bytes
      writer.count++
    },
  }
  return writer
}
