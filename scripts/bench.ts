// npm run bench -- --corpora DIR [--peers DIR] [--rounds N] [--memory DIR] [A] [B] [C] [M] [eight]
// Backs the corpora up and restores them, beside restic through rest-server in the same run if --peers names a folder
// with both (or they are on PATH), and prints the README's table: medians, and ratios of ours to theirs.
import { execFileSync } from 'node:child_process'
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { median } from './bench/measure.ts'
import { startOurs } from './bench/ours.ts'
import { type Contender, startPeer } from './bench/peer.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    corpora: { type: 'string' },
    peers: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    memory: { type: 'string', default: '/dev/shm' },
  },
})
const corpora = resolve(values.corpora ?? join(tmpdir(), 'holdfast-corpora'))
const peers = values.peers === undefined ? onPath('rest-server') : resolve(values.peers)
const kinds = positionals.length > 0 ? positionals : ['A', 'B', 'C', 'eight']
const rows: [kind: string, measure: string, ours: number, theirs: number | undefined, unit: string][] = []

for (const kind of kinds) {
  const figures = new Map<string, number[]>()
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const isOurs of peers === undefined ? [true] : [false, true]) {
      const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
      const memory = mkdtempSync(join(values.memory, 'holdfast-bench-'))
      const contender = isOurs ? await startOurs(folder, kind === 'eight' ? 8 : 1) : await startPeer(peers ?? '', folder, kind === 'eight' ? 8 : 1)
      const note = (name: string, value: number): void => {
        const key = `${name}|${isOurs}`
        figures.set(key, [...(figures.get(key) ?? []), value])
        process.stderr.write(`${kind} ${contender.name}: ${name} ${value.toFixed(2)}\n`)
      }
      try {
        await (kind === 'eight' ? eightAtOnce(contender, memory, note) : oneCorpus(contender, kind, memory, note))
      } finally {
        await contender.close()
        rmSync(folder, { recursive: true, force: true })
        rmSync(memory, { recursive: true, force: true })
      }
    }
  }
  for (const [key, list] of figures) {
    const [name = '', isOurs] = key.split('|')
    if (isOurs === 'true')
      rows.push([kind, name, median(list), figures.has(`${name}|false`) ? median(figures.get(`${name}|false`) ?? []) : undefined, name.split(', ')[1] ?? ''])
  }
}

process.stdout.write('| corpus | what | Holdfast | restic + rest-server | ratio |\n|---|---|---|---|---|\n')
for (const [kind, name, ours, theirs] of rows)
  process.stdout.write(`| ${kind} | ${name} | ${ours.toFixed(2)} | ${theirs?.toFixed(2) ?? ''} | ${theirs === undefined ? '' : (ours / theirs).toFixed(2)} |\n`)

type Note = (name: string, value: number) => void

async function oneCorpus(contender: Contender, kind: string, memory: string, note: Note): Promise<void> {
  const source = join(corpora, kind)
  const isTree = statSync(source).isDirectory()
  warm(source)
  const first = await contender.backup(0, source)
  note('first backup, s', first.wall_s)
  note('stored, MiB', contender.stored_mb())
  const unchanged = await contender.backup(0, source)
  note('unchanged, s', unchanged.wall_s)
  let peak_mb = Math.max(first.peak_mb, unchanged.peak_mb)
  warm(source)
  const restore = await contender.restore(0, join(memory, 'restored'))
  note('restore into memory, s', restore.wall_s)
  rmSync(join(memory, 'restored'), { recursive: true, force: true })
  if (isTree && kind !== 'M') {
    const undo = changeOnePercent(source)
    try {
      const changed = await contender.backup(0, source)
      note('1 % changed, s', changed.wall_s)
      peak_mb = Math.max(peak_mb, changed.peak_mb)
    } finally {
      undo()
    }
  }
  note('agent peak (backup), MB', peak_mb)
  note('agent peak (restore), MB', restore.peak_mb)
  note('server peak, MB', contender.serverPeak_mb())
}

async function eightAtOnce(contender: Contender, memory: string, note: Note): Promise<void> {
  const folders = Array.from({ length: 8 }, (_, i) => makeClientFolder(join(memory, `client-${i}`), i))
  const start_ms = performance.now()
  const all = await Promise.all(folders.map((folder, i) => contender.backup(i, folder)))
  note('eight agents at once, s', (performance.now() - start_ms) / 1000)
  note('agent peak (backup), MB', Math.max(...all.map(one => one.peak_mb)))
  note('server peak, MB', contender.serverPeak_mb())
}

/** 200 MB of corpus B, other bytes for each client, in files of 4 MB. */
function makeClientFolder(folder: string, client: number): string {
  mkdirSync(folder, { recursive: true })
  const skip = client * 50
  for (let i = 0; i < 50; i++)
    execFileSync('dd', [`if=${join(corpora, 'B')}`, `of=${join(folder, `f${i}`)}`, 'bs=4M', 'count=1', `skip=${skip + i}`], { stdio: 'ignore' })
  return folder
}

/** Appends a line to every hundredth file; the answer puts them back (their times change all the same). */
function changeOnePercent(folder: string): () => void {
  const changed: [file: string, copy: string][] = []
  const keep = mkdtempSync(join(tmpdir(), 'holdfast-kept-'))
  let at = 0
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const file = join(folder, name)
    if (!lstatSync(file).isFile() || at++ % 100 !== 0) continue
    const copy = join(keep, `${changed.length}`)
    cpSync(file, copy, { preserveTimestamps: true })
    writeFileSync(file, 'one more line\n', { flag: 'a' })
    changed.push([file, copy])
  }
  return () => {
    for (const [file, copy] of changed) cpSync(copy, file, { preserveTimestamps: true })
    rmSync(keep, { recursive: true, force: true })
  }
}

/** Reads everything once, so that each contender finds it in the page cache. */
function warm(path: string): void {
  execFileSync('sh', ['-c', 'find "$1" -type f -exec cat {} + > /dev/null', 'sh', path])
}

function onPath(name: string): string | undefined {
  const found = (process.env['PATH'] ?? '').split(':').find(folder => statSync(join(folder, name), { throwIfNoEntry: false }))
  return found === undefined ? undefined : resolve(found)
}
