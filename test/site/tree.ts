// A folder with a bit of everything, the same for the same seed.
import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, lutimesSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededBytes } from '../agent/format/seed.ts'

export type Random = { below(limit: number): number; bytes(length: number): Buffer }

/** xorshift32: small, and the same everywhere. */
export function randomOf(seed: number): Random {
  let state = seed | 0 || 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  return { below: limit => next() % limit, bytes: length => seededBytes(length, next()) }
}

/** Makes a tree of about so many bytes. */
export function makeTree(folder: string, seed: number, bytes: number): void {
  const random = randomOf(seed)
  mkdirSync(folder, { recursive: true })
  let left = bytes
  for (let directory = 0; left > 0; directory++) {
    const inside = join(folder, `directory ${directory}`, directory % 3 === 0 ? 'deep/er' : '.')
    mkdirSync(inside, { recursive: true })
    for (let file = 0; file < 12 && left > 0; file++) {
      const length = Math.min(left, random.below(10) === 0 ? random.below(4_000_000) : random.below(40_000))
      const path = join(inside, `file-${file}`)
      // Half of it compresses.
      writeFileSync(path, file % 2 === 0 ? random.bytes(length) : Buffer.alloc(length, `line ${random.below(100)}\n`))
      utimesSync(path, 1_600_000_000 + random.below(1e8), 1_600_000_000 + random.below(1e8) + 0.123)
      chmodSync(path, 0o400 + random.below(0o400))
      left -= Math.max(length, 1)
    }
  }
  addOddities(folder)
}

function addOddities(folder: string): void {
  const odd = join(folder, 'odd')
  mkdirSync(join(odd, 'empty'), { recursive: true })
  writeFileSync(join(odd, 'empty file'), '')
  writeFileSync(Buffer.concat([Buffer.from(`${odd}/not UTF-8 `), Buffer.from([0xff, 0xfe, 0x80])]), 'bytes')
  writeFileSync(join(odd, 'ünïcödé 🗄'), 'text')
  writeFileSync(join(odd, '-starts with a dash\nand has two lines'), 'text')
  writeFileSync(join(odd, 'n'.repeat(255)), 'text')
  symlinkSync('empty file', join(odd, 'link'))
  symlinkSync('/nowhere/at all', join(odd, 'dangling'))
  lutimesSync(join(odd, 'link'), 1e9, 1e9)
  writeFileSync(join(odd, 'hard'), 'the same file')
  linkSync(join(odd, 'hard'), join(odd, 'hard again'))
  writeFileSync(join(odd, 'sparse'), 'begin')
  truncateSync(join(odd, 'sparse'), 20_000_000)
  execFileSync('mkfifo', [join(odd, 'fifo')])
  chmodSync(join(odd, 'empty'), 0o1777)
  utimesSync(join(odd, 'empty'), 1e9, 1e9 + 0.5)
}
