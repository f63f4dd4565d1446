import fs from 'node:fs'
import { createTestArchive, type FileSpec } from './archive.ts'
import { encodeKeyRing } from '#format/keys.ts'
const [root = '', out = ''] = process.argv.slice(2)
const archive = createTestArchive()
const files: FileSpec[] = []
const lazy: FileSpec[] = files
const walk = (dir: string, rel: string): void => {
  for (const d of fs.readdirSync(dir, { withFileTypes: true, encoding: 'latin1' })) {
    const p = `${dir}/${d.name}`
    const r = rel ? `${rel}/${d.name}` : d.name
    const s = fs.lstatSync(Buffer.from(p, 'latin1'), { bigint: true })
    const base = { path: r, mode: Number(s.mode), mtime_ns: s.mtimeNs, uid: Number(s.uid), gid: Number(s.gid), ino: s.ino, dev: 1n, nlink: Number(s.nlink) }
    if (d.isDirectory()) { lazy.push({ ...base, nlink: 1 }); walk(p, r) }
    else if (d.isSymbolicLink()) lazy.push({ ...base, target: fs.readlinkSync(Buffer.from(p, 'latin1'), 'latin1') })
    else if (d.isFile()) lazy.push({ ...base, get data() { return fs.readFileSync(Buffer.from(p, 'latin1')) } } as FileSpec)
  }
}
walk(root, '')
import { comparePaths } from '#format/path-order.ts'
files.sort((a, b) => comparePaths(a.path, b.path))
await archive.add(files, { breaks: files.filter((_, i) => i % 2300 === 2299).map(f => f.path) })
const fd = fs.openSync(`${out}/records`, 'w')
const index: [string, number, number][] = []
let at = 0
for (const [name, record] of archive.records) { fs.writeSync(fd, record); index.push([Buffer.from(name, 'latin1').toString('hex'), at, record.length]); at += record.length }
fs.writeFileSync(`${out}/index.json`, JSON.stringify({ archive: archive.source.archive, rows: archive.rows, index }))
fs.writeFileSync(`${out}/ring`, encodeKeyRing(archive.ring))
console.log(archive.records.size, 'records', at, 'bytes', files.length, 'entries', 'max rss', process.resourceUsage().maxRSS)
