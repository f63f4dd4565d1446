// How the index of a storage node does with very many records: makes one through the engine's own code, in a process with
// the flags of a storage node, then looks up ids that are there and ids that are not, and opens it again.
//   node scripts/bench-index.ts --home DIR [--ids 100000000] [--keep] [--json]
// DIR must not be there yet; it is removed again unless --keep is given.
// Own memory is RssAnon of /proc/self/status: resident memory that no file backs. What LevelDB maps of its files is not in
// it: the system takes that back whenever it wants to.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type ArchiveIndex, type ArchiveRow, closeIndex, type Entry, find, newOrdinal, openIndex, readRow, write } from '#archive/archive-index.ts'
import { openLevel } from '#archive/index-database.ts'
import { ID_BYTES } from '#protocol/record.ts'
import { STORAGE_NODE_FLAGS, storageNodeEnvironment } from '#storage/node-flags.ts'

/** As many archives as a department has devices; their ids come mixed, as uploads do. */
const ARCHIVES = 64
/** Records of one upload. */
const UPDATE_ENTRIES = 2000
const LOOK_UP_IDS = 4096
const LOOK_UPS = 100
const RECORD_BYTES = 4096
const PROGRESS_MS = 5000
const OWN_MEMORY_MAX_MB = 200
const MB = 1_000_000

const { values } = parseArgs({
  options: {
    ids: { type: 'string', default: '100000000' },
    home: { type: 'string' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    child: { type: 'boolean', default: false },
  },
})
const ids = Number(values.ids)
const home = values.home ?? ''
const dir = join(home, 'index')

type Archive = { readonly id: Buffer; row: ArchiveRow }
type Result = Record<string, number>

/** The id of the n-th record: uniform, and made again when it is looked up. */
function writeId(target: Buffer, at: number, n: number): void {
  let state = Math.imul(n, 0x9e3779b1) ^ Math.floor(n / 2 ** 32)
  for (let word = 0; word < ID_BYTES; word += 4) {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    mixed ^= mixed >>> 15
    target.writeInt32LE(mixed, at + word)
  }
}

const archiveOf = (n: number): number => Math.floor(n / UPDATE_ENTRIES) % ARCHIVES

async function main(): Promise<void> {
  const peak = watchOwnMemory()
  const index = await openIndex(await openLevel(dir))
  const archives: Archive[] = Array.from({ length: ARCHIVES }, (_, i) => ({
    id: Buffer.alloc(16, i + 1),
    row: { ordinal: newOrdinal(index), segment: 0, offset: 0, anchor: { offset: 0, crc: 0 }, records: 0, bytes: 0, head: undefined, isDamaged: false },
  }))
  const start_ms = performance.now()
  const longest_ms = await fill(index, archives)
  const fill_s = (performance.now() - start_ms) / 1000
  const peak_fill_mb = peak()
  const filled = await lookUp(index, archives)
  await closeIndex(index)
  const opening_ms = performance.now()
  const again = await openIndex(await openLevel(dir))
  for (const archive of archives) {
    const row = await readRow(again, archive.id)
    if (row?.records !== archive.row.records) throw new Error('the row of an archive is not there after opening again')
  }
  const open_ms = performance.now() - opening_ms
  const reopened = await lookUp(again, archives)
  await closeIndex(again)
  const result: Result = {
    ids,
    fill_s: Math.round(fill_s),
    fill_ids_per_s: Math.round(ids / fill_s),
    longest_update_ms: Math.round(longest_ms),
    disk_mb: Math.round(bytesOf(dir) / MB),
    disk_bytes_per_id: Math.round((bytesOf(dir) / ids) * 10) / 10,
    present_per_s: filled.present_per_s,
    absent_per_s: filled.absent_per_s,
    open_again_ms: Math.round(open_ms),
    present_again_per_s: reopened.present_per_s,
    absent_again_per_s: reopened.absent_per_s,
    own_memory_fill_peak_mb: Math.round(peak_fill_mb),
    own_memory_peak_mb: Math.round(peak()),
    resident_peak_mb: Math.round(status_mb('VmHWM')),
  }
  const text = Object.entries(result).map(([name, value]) => `${name.padEnd(26)}${value}\n`)
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : text.join(''))
  if (peak() > OWN_MEMORY_MAX_MB) throw new Error(`own memory: ${Math.round(peak())} MB, over ${OWN_MEMORY_MAX_MB}`)
}

/** Adds all ids, upload by upload; returns how long the longest took. */
async function fill(index: ArchiveIndex, archives: readonly Archive[]): Promise<number> {
  const start_ms = performance.now()
  let told_ms = start_ms
  let longest_ms = 0
  for (let done = 0; done < ids; ) {
    const count = Math.min(UPDATE_ENTRIES, ids - done)
    const archive = archives[archiveOf(done)] as Archive
    const joined = Buffer.allocUnsafeSlow(count * ID_BYTES)
    const entries: Entry[] = []
    for (let i = 0; i < count; i++) {
      writeId(joined, i * ID_BYTES, done + i)
      const n = archive.row.records + i
      const id = joined.subarray(i * ID_BYTES, (i + 1) * ID_BYTES)
      entries.push({ id, segment: 1 + Math.floor(n / 16_384), offset: (n % 16_384) * RECORD_BYTES, length: RECORD_BYTES })
    }
    const last = entries.at(-1) as Entry
    const bytes = archive.row.bytes + count * RECORD_BYTES
    archive.row = { ...archive.row, segment: last.segment, offset: last.offset + last.length, records: archive.row.records + count, bytes }
    const before_ms = performance.now()
    await write(index, { archive: archive.id, row: archive.row, entries, snapshots: [] })
    const now_ms = performance.now()
    longest_ms = Math.max(longest_ms, now_ms - before_ms)
    done += count
    if (now_ms - told_ms < PROGRESS_MS && done < ids) continue
    told_ms = now_ms
    const rate = Math.round(done / ((now_ms - start_ms) / 1000))
    process.stderr.write(
      `${(done / 1e6).toFixed(1)} million, ${rate}/s, ${Math.round(bytesOf(dir) / MB)} MB on disk, own memory ${Math.round(status_mb('RssAnon'))} MB\n`,
    )
  }
  return longest_ms
}

/** Looks up ids in no order, in batches, each batch in one archive; all that are there must be found, and no others. */
async function lookUp(index: ArchiveIndex, archives: readonly Archive[]): Promise<{ present_per_s: number; absent_per_s: number }> {
  const rates: number[] = []
  for (const isThere of [true, false]) {
    const start_ms = performance.now()
    let preparing_ms = 0
    for (let turn = 0; turn < LOOK_UPS; turn++) {
      const prepare_ms = performance.now()
      const which = Math.floor(Math.random() * Math.min(ARCHIVES, Math.ceil(ids / UPDATE_ENTRIES)))
      const archive = archives[which] as Archive
      const wanted: number[] = []
      while (wanted.length < LOOK_UP_IDS) wanted.push(randomOfArchive(which) + (isThere ? 0 : ids))
      const joined = Buffer.allocUnsafeSlow(LOOK_UP_IDS * ID_BYTES)
      wanted.forEach((n, i) => writeId(joined, i * ID_BYTES, n))
      preparing_ms += performance.now() - prepare_ms
      const found = await find(index, archive.id, archive.row.ordinal, joined)
      if (found.some(location => (location !== undefined) !== isThere)) throw new Error(isThere ? 'an id is not found' : 'an id is found that is not there')
    }
    rates.push(Math.round((LOOK_UPS * LOOK_UP_IDS) / ((performance.now() - start_ms - preparing_ms) / 1000)))
  }
  const [present_per_s = 0, absent_per_s = 0] = rates
  return { present_per_s, absent_per_s }
}

/** The number of a random record of an archive. */
function randomOfArchive(which: number): number {
  const uploads = Math.ceil((Math.ceil(ids / UPDATE_ENTRIES) - which) / ARCHIVES)
  const first = (Math.floor(Math.random() * uploads) * ARCHIVES + which) * UPDATE_ENTRIES
  return first + Math.floor(Math.random() * Math.min(UPDATE_ENTRIES, ids - first))
}

const status_mb = (field: string): number => (Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024) / MB

/** Looks at own memory often enough to see each compaction; returns how to ask for the peak. */
function watchOwnMemory(): () => number {
  let peak_mb = 0
  const look = (): number => {
    peak_mb = Math.max(peak_mb, status_mb('RssAnon'))
    return peak_mb
  }
  setInterval(look, 50).unref()
  return look
}

const bytesOf = (path: string): number => readdirSync(path).reduce((sum, name) => sum + (statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0), 0)

/** The same program with the flags of a storage node; its exit code is ours. */
function runChild(): void {
  mkdirSync(home, { recursive: true })
  const { bavail, bsize } = statfsSync(home)
  process.stderr.write(`${Math.round((bavail * bsize) / MB)} MB free; about ${Math.round((ids * 64 * 1.2) / MB)} MB needed\n`)
  const child = spawn(process.execPath, [...STORAGE_NODE_FLAGS, import.meta.filename, ...process.argv.slice(2), '--child'], {
    stdio: 'inherit',
    env: { ...process.env, ...storageNodeEnvironment(home) },
  })
  child.on('close', code => {
    if (!values.keep) rmSync(home, { recursive: true })
    process.exitCode = code ?? 1
  })
}

if (values.child) await main()
else if (home === '' || !(ids >= 1) || existsSync(home)) {
  process.stderr.write('--home must name a directory that is not there yet, and --ids be at least 1\n')
  process.exitCode = 2
} else runChild()
