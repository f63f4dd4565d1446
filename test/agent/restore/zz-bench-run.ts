import fs from 'node:fs'
import { decodeKeyRing, deriveArchiveKeys } from '#format/keys.ts'
import { restore } from '#restore/restore.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'
const [from = '', to = '', flag = ''] = process.argv.slice(2)
const meta = JSON.parse(fs.readFileSync(`${from}/index.json`, 'utf8'))
const where = new Map<string, [number, number]>(meta.index.map(([id, at, n]: [string, number, number]) => [Buffer.from(id, 'hex').toString('latin1'), [at, n]]))
const fd = fs.openSync(`${from}/records`, 'r')
const ring = decodeKeyRing(fs.readFileSync(`${from}/ring`))
const keys = deriveArchiveKeys(ring, meta.archive)
const source = {
  archive: meta.archive, snapshots: async () => meta.rows, missing: async () => new Uint8Array(1), close: async () => {},
  async read(ids: Buffer, onRecord: (r: Buffer) => Promise<void> | void) {
    const l: [number, number][] = []
    for (let i = 0; i < ids.length; i += 32) l.push(where.get(ids.toString('latin1', i, i + 32)) as [number, number])
    l.sort((a, b) => a[0] - b[0])
    for (const [at, n] of l) { const b = Buffer.allocUnsafeSlow(n); fs.readSync(fd, b, 0, n, at); await onRecord(b); await new Promise(r => setImmediate(r)) }
  },
}
const s = performance.now()
const c = process.cpuUsage()
const snapshot = await openSnapshotAt(source, keys, 'latest')
let peak = 0
const timer = setInterval(() => { peak = Math.max(peak, process.memoryUsage.rss()) }, 20)
const tally = await restore({ source, keys, ring, snapshot, paths: [], target: flag === 'verify' ? undefined : to, onConflict: 'rename', isResume: flag === 'resume' })
clearInterval(timer)
const u = process.cpuUsage(c)
console.log({ ms: Math.round(performance.now() - s), cpu_ms: Math.round((u.user + u.system) / 1000), sys: Math.round(u.system / 1000), maxRSS_MB: Math.round(process.resourceUsage().maxRSS / 1024), files: tally.files, dirs: tally.directories, bytes: tally.written_bytes, fail: tally.failures.slice(0, 3), n: tally.failure_count, renamed: tally.renamed.slice(0, 3) })
