// Compares two folders byte for byte, with everything that a file is: kind, mode, owner, times in ns, size, content, link
// targets, device numbers, hard links and, where getfattr is installed, extended attributes. Written apart from the
// agent's own walk and checks on purpose: it must not share their mistakes.

import { spawnSync } from 'node:child_process'
import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'

export type Comparison = {
  readonly files: number
  readonly directories: number
  readonly others: number
  readonly bytes: number
  readonly hasXattrs: boolean
  readonly differences: readonly string[]
}

/** Differences beyond these are only counted. */
const DIFFERENCES_MAX = 50
const PIECE_BYTES = 1024 * 1024

/**
 * @param isLeftOut  entries of the first folder that need not be in the second (a name, and its path within the folder)
 */
export function compareFolders(first: string, second: string, isLeftOut: (name: string, path: string) => boolean): Comparison {
  const differences: string[] = []
  const counts = { files: 0, directories: 0, others: 0, bytes: 0 }
  const linkedTo = new Map<string, string>()
  const pieces: [Buffer, Buffer] = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)]
  const differ = (path: Buffer, what: string): void => {
    if (differences.length < DIFFERENCES_MAX) differences.push(`${printable(path)}: ${what}`)
  }

  function compare(path: Buffer): void {
    const [one, other] = [inside(first, path), inside(second, path)]
    const a = lstatSync(one, { bigint: true })
    let b: BigIntStats
    try {
      b = lstatSync(other, { bigint: true })
    } catch {
      return differ(path, 'is missing')
    }
    for (const field of ['mode', 'uid', 'gid', 'mtimeNs'] as const) if (a[field] !== b[field]) differ(path, `${field} is ${b[field]} instead of ${a[field]}`)
    if (a.mode >> 12n !== b.mode >> 12n) return
    if (a.isDirectory()) return compareDirectory(path, one, other)
    if (a.nlink > 1n) compareLinks(path, `${a.dev}:${a.ino}`, `${b.dev}:${b.ino}`)
    if (a.isFile()) {
      counts.files++
      counts.bytes += Number(a.size)
      if (a.size !== b.size) differ(path, `size is ${b.size} instead of ${a.size}`)
      else if (!isSameContent(one, other, pieces)) differ(path, 'content differs')
    } else {
      counts.others++
      if (a.isSymbolicLink() && !readlinkSync(one, 'buffer').equals(readlinkSync(other, 'buffer'))) differ(path, 'link target differs')
      if ((a.isBlockDevice() || a.isCharacterDevice()) && a.rdev !== b.rdev) differ(path, 'device number differs')
    }
  }
  function compareDirectory(path: Buffer, one: Buffer, other: Buffer): void {
    counts.directories++
    const wanted = readdirSync(one, { encoding: 'buffer', withFileTypes: true }).filter(
      entry => !entry.isSocket() && !isLeftOut(entry.name.toString('latin1'), child(path, entry.name).toString('latin1')),
    )
    const found = new Set(readdirSync(other, 'buffer').map(name => name.toString('latin1')))
    for (const { name } of wanted) {
      found.delete(name.toString('latin1'))
      compare(child(path, name))
    }
    for (const name of found) differ(child(path, Buffer.from(name, 'latin1')), 'should not be there')
  }
  /** Two names of one file must be two names of one file again. */
  function compareLinks(path: Buffer, one: string, other: string): void {
    const known = linkedTo.get(one)
    if (known === undefined) linkedTo.set(one, other)
    else if (known !== other) differ(path, 'is a hard link no more')
  }

  compare(Buffer.alloc(0))
  const xattrs = differences.length === 0 ? compareXattrs(first, second, isLeftOut) : undefined
  return { ...counts, hasXattrs: xattrs !== undefined, differences: [...differences, ...(xattrs ?? [])] }
}

const child = (path: Buffer, name: Buffer): Buffer => (path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name]))
const inside = (folder: string, path: Buffer): Buffer => (path.length === 0 ? Buffer.from(folder) : Buffer.concat([Buffer.from(`${folder}/`), path]))
const printable = (path: Buffer): string => (path.length === 0 ? '.' : path.toString('utf8').replace(/[^\x20-\x7e\u00a0-\ufffc]/g, '?'))

function isSameContent(one: Buffer, other: Buffer, [a, b]: readonly [Buffer, Buffer]): boolean {
  const [first, second] = [openSync(one, 'r'), openSync(other, 'r')]
  try {
    for (;;) {
      const length = readSync(first, a)
      let got = 0
      while (got < length) {
        const read = readSync(second, b, got, length - got, null)
        if (read === 0) return false
        got += read
      }
      if (length === 0) return readSync(second, b) === 0
      if (!a.subarray(0, length).equals(b.subarray(0, length))) return false
    }
  } finally {
    closeSync(first)
    closeSync(second)
  }
}

/** Undefined where there is no getfattr. */
function compareXattrs(first: string, second: string, isLeftOut: (name: string, path: string) => boolean): string[] | undefined {
  const [one, other] = [first, second].map(folder => xattrsOf(folder, isLeftOut))
  if (!one || !other) return undefined
  const differences: string[] = []
  for (const [path, values] of one) if (other.get(path) !== values) differences.push(`${path}: extended attributes differ`)
  for (const path of other.keys()) if (!one.has(path)) differences.push(`${path}: has extended attributes that it should not have`)
  return differences
}

function xattrsOf(folder: string, isLeftOut: (name: string, path: string) => boolean): Map<string, string> | undefined {
  const dump = spawnSync('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'], { cwd: folder, encoding: 'latin1', maxBuffer: 1 << 30 })
  if (dump.error) return undefined
  const found = new Map<string, string>()
  for (const part of dump.stdout.split('\n\n')) {
    const [head = '', ...values] = part.trim().split('\n')
    const path = head.replace(/^# file: (\.\/)?/, '')
    const names = path.split('/')
    if (values.length > 0 && !names.some((name, at) => isLeftOut(name, names.slice(0, at + 1).join('/')))) found.set(path, values.sort().join('\n'))
  }
  return found
}
