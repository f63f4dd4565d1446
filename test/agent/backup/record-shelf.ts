// Where the reader's records go in these tests: kept by id as they are, so that a test can open all of them again.
// The journeys through a real storage node are in test/site.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCache } from '#backup/cache.ts'
import type { BackupWork } from '#backup/messages.ts'
import { type ReaderLink, runReader } from '#backup/run-reader.ts'
import type { Unreadable } from '#backup/unreadable.ts'
import { createScan } from '#filesystem/scan.ts'
import { createScanGroup } from '#filesystem/scan-group.ts'
import { type ArchiveKeys, createKeyRing, deriveArchiveKeys, type KeyRing } from '#format/keys.ts'
import { decodePage, type Entry, entriesOf } from '#format/page.ts'
import { openRecord } from '#format/seal.ts'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { parseRecord } from '#protocol/record.ts'

export const ARCHIVE = '00112233445566778899aabbccddeeff'

export type Shelf = {
  readonly ring: KeyRing
  readonly keys: ArchiveKeys
  readonly folder: string
  /** hex id → record */
  readonly records: Map<string, Buffer>
  head: BackupWork['head']
  unreadable: Unreadable[]
  /** How many records were handed over in the last run. */
  sent: number
  /** Stops the run when so many records were sent. */
  stopAfter: number
  /** Called before each record is taken. */
  onSend: () => void
  backup(paths: string[], more?: Partial<BackupWork>): ReturnType<typeof runReader>
  entries(): Entry[]
  contentOf(entry: Entry): Buffer
  pageIds(): string[]
  close(): void
}

export function createShelf(): Shelf {
  const ring = createKeyRing()
  const keys = deriveArchiveKeys(ring, ARCHIVE)
  const home = mkdtempSync(join(tmpdir(), 'holdfast-reader-'))
  const records = new Map<string, Buffer>()
  const recordOf = (id: string): ReturnType<typeof parseRecord> => parseRecord(records.get(id) ?? Buffer.alloc(0))
  const shelf: Shelf = {
    ring,
    keys,
    folder: home,
    records,
    head: null,
    unreadable: [],
    sent: 0,
    stopAfter: Number.POSITIVE_INFINITY,
    onSend: () => {},
    async backup(paths, more = {}) {
      const cache = await openCache(home, ARCHIVE)
      shelf.unreadable = []
      shelf.sent = 0
      let acknowledge: (ordinals: readonly number[]) => void = () => {}
      // What a stopped run still does is of no effect, as if its process had been killed.
      let isStopped = false
      let stop: (error: Error) => void = () => {}
      const stopped = new Promise<never>((_, reject) => {
        stop = error => {
          isStopped = true
          reject(error)
        }
      })
      let unreadableNow: Unreadable[] = []
      const group = createScanGroup()
      const scan = createScan({ paths, exclude: undefined, oneFileSystem: false, onUnreadable: (path, reason) => unreadableNow.push({ path, reason }) })
      const link: ReaderLink = {
        ask: async ids => {
          const missing = new Uint8Array(Math.ceil(ids.length / 256))
          for (let i = 0; i * 32 < ids.length; i++)
            if (!records.has(ids.toString('hex', i * 32, i * 32 + 32))) missing[i >> 3] = (missing[i >> 3] ?? 0) | (1 << (i & 7))
          return missing
        },
        fetch: async id => records.get(id.toString('hex')) ?? Buffer.alloc(0),
        scanned: async isContentWanted => {
          unreadableNow = []
          const begin_ms = Date.now()
          const count = scan.fill(group, isContentWanted)
          return { group, count, begin_ms, unreadable: unreadableNow }
        },
        async commit(record) {
          const { header, clear } = parseRecord(record)
          records.set(header.id.toString('hex'), record)
          shelf.head = { snapshot: header.id.toString('hex'), sequence: parseSnapshotClear(clear).sequence }
        },
        send(ordinal, record) {
          if (isStopped) return
          shelf.onSend()
          const id = parseRecord(record).header.id.toString('hex')
          if (records.has(id)) stop(new Error(`sent twice: ${id}`))
          if (shelf.sent >= shelf.stopAfter) return stop(new Error('stopped'))
          records.set(id, Buffer.from(record))
          shelf.sent++
          setImmediate(() => acknowledge([ordinal]))
        },
        flush: () => {},
        progress: () => {},
        unreadable: item => shelf.unreadable.push(item),
        onAcknowledged: listener => {
          acknowledge = listener
        },
      }
      const work: BackupWork = {
        home,
        archive: ARCHIVE,
        paths,
        hostname: 'test',
        agentVersion: '0',
        compressionLevel: 1,
        isDryRun: false,
        head: shelf.head,
        isArchiveEmpty: records.size === 0,
        isDistrustful: false,
        ...more,
      }
      try {
        return await Promise.race([runReader(work, keys, cache, link), stopped])
      } finally {
        await cache.close()
      }
    },
    pageIds: () => parseSnapshotClear(recordOf(shelf.head?.snapshot ?? '').clear).pages.map(id => id.toString('hex')),
    entries: () =>
      shelf.pageIds().flatMap(id => {
        const record = recordOf(id)
        return [...entriesOf(decodePage(openRecord(keys, ARCHIVE, record.bytes), record.clear))]
      }),
    contentOf: entry =>
      Buffer.concat(
        entry.extents.map(({ block, offset, length }) =>
          openRecord(keys, ARCHIVE, records.get(block.toString('hex')) ?? Buffer.alloc(0)).subarray(offset, offset + length),
        ),
      ),
    close() {
      keys.wipe()
      ring.wipe()
      rmSync(home, { recursive: true, force: true })
    },
  }
  return shelf
}
