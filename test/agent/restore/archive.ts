// A small archive for tests: entries and contents are sealed with the real format, packed as a backup would.
import { randomBytes } from 'node:crypto'
import { hashContent, startExtentsHash } from '#format/content-hash.ts'
import { type ArchiveKeys, createKeyRing, deriveArchiveKeys, type KeyRing } from '#format/keys.ts'
import { pack } from '#format/pack.ts'
import { createPageBuilder, type Entry } from '#format/page.ts'
import { comparePaths } from '#format/path-order.ts'
import { recordId, sealRecord } from '#format/seal.ts'
import { encodeSnapshot } from '#format/snapshot.ts'
import { encodeSnapshotClear } from '#protocol/clear-part.ts'
import { fault } from '#protocol/errors.ts'
import { SMALL_FILE_BYTES } from '#protocol/limits.ts'
import { KIND, type Kind } from '#protocol/record.ts'
import type { RecordSource, SnapshotRow } from '#restore/record-source.ts'

const NOTHING = Buffer.alloc(0)

export type FileSpec = Partial<Omit<Entry, 'path' | 'extents'>> & {
  readonly path: string
  readonly data?: Buffer
  readonly holes?: [number, number][] | undefined
}

export type TestArchive = {
  readonly ring: KeyRing
  readonly keys: ArchiveKeys
  readonly records: Map<string, Buffer>
  readonly rows: SnapshotRow[]
  readonly source: RecordSource
  /** Ids of blocks that were read, in order. */
  readonly reads: string[]
  /** Called for each record that is read; may throw, or wait. */
  onRead: ((id: string) => void | Promise<void>) | undefined
  put(kind: Kind, plain: Buffer, clear?: Buffer): Promise<Buffer>
  /** Adds a snapshot with these files; a new page begins at each path of `breaks`. */
  add(
    files: readonly FileSpec[],
    options?: { breaks?: readonly string[]; received_ms?: number; pages?: readonly Buffer[]; blockBytes?: number; extentsPerPage?: number },
  ): Promise<{ snapshot: string; pages: Buffer[]; entries: Entry[] }>
}

export const directory = (path: string, more: Partial<Entry> = {}): FileSpec => ({ path, mode: 0o040755, ...more })
export const file = (path: string, data: Buffer | string, more: Partial<FileSpec> = {}): FileSpec => ({
  path,
  mode: 0o100644,
  data: Buffer.from(data as string),
  ...more,
})
export const symlink = (path: string, target: string): FileSpec => ({ path, mode: 0o120777, target })

export function createTestArchive(): TestArchive {
  const archiveId = randomBytes(16).toString('hex')
  const ring = createKeyRing()
  const keys = deriveArchiveKeys(ring, archiveId)
  const records = new Map<string, Buffer>()
  const rows: SnapshotRow[] = []
  const reads: string[] = []
  let previous: Buffer | undefined
  let inode = 1000n

  const put = async (kind: Kind, plain: Buffer, clear: Buffer = NOTHING): Promise<Buffer> => {
    const id = recordId(keys, kind, plain)
    const name = id.toString('latin1')
    if (!records.has(name)) records.set(name, sealRecord(keys, archiveId, 1, kind, id, clear, await pack(plain)))
    return id
  }

  /** Small files run together, large ones are cut alone every `blockBytes`. */
  const store = async (files: readonly FileSpec[], blockBytes: number): Promise<Entry[]> => {
    const entries: Entry[] = []
    let small: { entry: Entry; data: Buffer }[] = []
    const flush = async (): Promise<void> => {
      const block = await put(KIND.block, Buffer.concat(small.map(({ data }) => data)))
      let offset = 0
      for (const { entry, data } of small) {
        entry.extents.push({ block, offset, length: data.length })
        offset += data.length
      }
      small = []
    }
    for (const { data, ...spec } of [...files].sort((a, b) => comparePaths(a.path, b.path))) {
      const holes_bytes = (spec.holes ?? []).reduce((sum, [, length]) => sum + length, 0)
      const entry: Entry = {
        mode: 0o100644,
        uid: process.getuid?.() ?? 0,
        gid: process.getgid?.() ?? 0,
        mtime_ns: 1_700_000_000_123_456_789n,
        ctime_ns: 0n,
        dev: 1n,
        nlink: 1,
        ...spec,
        size: spec.size ?? (data?.length ?? 0) + holes_bytes,
        ino: spec.ino ?? inode++,
        extents: [],
      }
      entries.push(entry)
      if (!data || data.length === 0) continue
      if (data.length < SMALL_FILE_BYTES) {
        entry.content ??= hashContent(keys, data)
        small.push({ entry, data })
        if (small.reduce((sum, one) => sum + one.data.length, 0) > 1_000_000) await flush()
        continue
      }
      const hash = startExtentsHash(keys)
      // Blocks of different lengths, as a chunker makes them.
      for (let at = 0, length = blockBytes; at < data.length; at += length, length = blockBytes - (entry.extents.length % 100) * 64) {
        const piece = data.subarray(at, at + length)
        const block = await put(KIND.block, piece)
        entry.extents.push({ block, offset: 0, length: piece.length })
        hash.add(block, 0, piece.length)
      }
      entry.content ??= hash.digest()
    }
    if (small.length > 0) await flush()
    return entries
  }

  const archive: TestArchive = {
    ring,
    keys,
    records,
    rows,
    reads,
    onRead: undefined,
    put,
    async add(files, options = {}) {
      const entries = await store(files, options.blockBytes ?? 1024 * 1024)
      const builder = createPageBuilder()
      const pages: Buffer[] = [...(options.pages ?? [])]
      const finish = async (): Promise<void> => {
        if (builder.count === 0) return
        const { plaintext, clear } = builder.finish(new Map(), new Map())
        pages.push(await put(KIND.page, plaintext, clear))
      }
      for (const entry of entries) {
        if (options.breaks?.includes(entry.path) || !builder.fits(entry.path, entry.extents.length)) await finish()
        const part = options.extentsPerPage ?? entry.extents.length
        builder.add({ ...entry, extents: entry.extents.slice(0, part) })
        for (let at = part; at < entry.extents.length; at += part) {
          await finish()
          builder.add({ ...entry, extents: entry.extents.slice(at, at + part), continuation: true })
        }
      }
      await finish()
      const sequence = rows.length + 1
      const received_ms = options.received_ms ?? 1_700_000_000_000 + sequence * 60_000
      const plain = encodeSnapshot({
        sequence,
        hostname: 'test',
        paths: [''],
        start_ms: received_ms - 1000,
        end_ms: received_ms,
        agent_version: '0.0.0',
        unreadable: [],
        counts: { files: entries.length, directories: 0, others: 0, bytes: entries.reduce((sum, entry) => sum + entry.size, 0) },
      })
      const id = await put(KIND.snapshot, plain, encodeSnapshotClear({ sequence, previous, pages }))
      previous = id
      rows.push({ snapshot: id.toString('hex'), sequence, received_ms })
      return { snapshot: id.toString('hex'), pages, entries }
    },
    source: {
      archive: archiveId,
      snapshots: async () => rows,
      async read(ids, onRecord) {
        const names: string[] = []
        for (let at = 0; at < ids.length; at += 32) names.push(ids.toString('latin1', at, at + 32))
        for (const name of names) if (!records.has(name)) throw fault('RECORD_UNKNOWN', { facts: { id: Buffer.from(name, 'latin1').toString('hex') } })
        for (const name of names) {
          reads.push(name)
          await archive.onRead?.(name)
          await onRecord(Buffer.from(records.get(name) as Buffer))
        }
      },
      async missing(ids) {
        const bitmap = new Uint8Array(Math.ceil(ids.length / 256))
        for (let i = 0; i * 32 < ids.length; i++)
          if (!records.has(ids.toString('latin1', i * 32, i * 32 + 32))) bitmap[i >> 3] = (bitmap[i >> 3] as number) | (1 << (i & 7))
        return bitmap
      },
      close: async () => {},
    },
  }
  return archive
}
