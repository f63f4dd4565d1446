// The scan runs in the main thread, some groups of entries ahead of the reader thread: it needs no key, and the kernel's
// half of its work is done on another processor while the reader thread compares, hashes and packs. Between two groups
// the connection gets its turn.
import { createScan, type ScanOptions } from '#filesystem/scan.ts'
import { createScanGroup, type ScanGroup } from '#filesystem/scan-group.ts'
import type { Unreadable } from './unreadable.ts'

/** So far the scan may be ahead. Only what is filled becomes real memory: some 30 KB of a group without contents. */
const GROUPS = 64
/** The same while contents are read. */
const GROUPS_WITH_CONTENT = 4

/** A filled group, as it is told to the reader thread. None of its entries: the scan has ended. */
export type ScannedMessage = {
  /** Says which group is meant when it is given back. */
  readonly group: number
  readonly shared: SharedArrayBuffer
  readonly count: number
  /** It was filled after this, in ms since 1970. */
  readonly begin_ms: number
  /** What was met meanwhile and can't be read. */
  readonly unreadable: readonly Unreadable[]
}

export type Scanning = {
  /**
   * The reader thread is done with a group.
   *
   * @param isContentWanted  all files from here on will be stored: the small ones are read on the way
   */
  giveBack(group: number, isContentWanted: boolean): void
  stop(): void
}

/** Begins to scan. */
export function startScanning(options: Omit<ScanOptions, 'onUnreadable'>, onGroup: (message: ScannedMessage) => void): Scanning {
  let unreadable: Unreadable[] = []
  const scan = createScan({ ...options, onUnreadable: (path, reason) => unreadable.push({ path, reason }) })
  const groups: ScanGroup[] = Array.from({ length: GROUPS }, () => createScanGroup())
  const free = groups.map((_, index) => index)
  let isContentWanted = false
  let isUnderWay = false
  let isEnd = false
  const fillNext = (): void => {
    isUnderWay = false
    const isTooFar = isContentWanted && GROUPS - free.length >= GROUPS_WITH_CONTENT
    const index = isEnd || isTooFar ? undefined : free.pop()
    const group = index === undefined ? undefined : groups[index]
    if (index === undefined || !group) return
    const begin_ms = Date.now()
    const count = scan.fill(group, isContentWanted)
    isEnd = count === 0
    onGroup({ group: index, shared: group.shared, count, begin_ms, unreadable })
    unreadable = []
    goOn()
  }
  const goOn = (): void => {
    if (isUnderWay) return
    isUnderWay = true
    setImmediate(fillNext)
  }
  goOn()
  return {
    giveBack(group, isWanted) {
      isContentWanted = isWanted
      free.push(group)
      goOn()
    },
    stop: () => {
      isEnd = true
    },
  }
}
