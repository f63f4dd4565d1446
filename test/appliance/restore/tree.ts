// A folder with everything that a file can be, and the facts of what was extracted from an archive file.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, closeSync, ftruncateSync, linkSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makeNode, setTimes, setXattr } from '#filesystem/libc.ts'
import { bytePath } from '#filesystem/system-path.ts'
import { makeTree } from '../../site/tree.ts'

export const isRoot = process.getuid?.() === 0
const MiB = 1024 * 1024

/** Small and large files of all sizes, and everything odd. */
export function makeEverything(tree: string): void {
  makeTree(tree, 20_260_917, 24 * MiB)
  const at = (name: string): string => join(tree, name)
  symlinkSync(Buffer.from([0x2e, 0x2e, 0x2f, 0xff]), at('link to bytes'))
  symlinkSync('x'.repeat(4000), at('long target'))
  linkSync(at('odd/hard'), at('a hard link in another folder'))
  linkSync(at('long target'), at('long target again'))
  for (const [i, mode] of [0o4755, 0o2755, 0o1777, 0o000, 0o7777].entries()) {
    writeFileSync(at(`mode ${i}`), '')
    chmodSync(at(`mode ${i}`), mode)
  }
  mkdirSync(at('set gid'))
  chmodSync(at('set gid'), 0o2770)
  mkdirSync(at('not to be entered'))
  writeFileSync(at('not to be entered/file'), 'inside')
  if (isRoot) {
    makeNode(bytePath(at('character')), 0o020_600, 4000, 70_000)
    makeNode(bytePath(at('block')), 0o060_640, 7, 300)
    writeFileSync(at('of another'), '')
    chownSync(at('of another'), 54_321, 4_000_000_000)
  }
  writeFileSync(at('attributes'), 'with attributes')
  setXattr(bytePath(at('attributes')), 'user.bytes', Buffer.from([0, 10, 255]))
  setXattr(bytePath(at('attributes')), 'user.a=b%c', Buffer.from('equals'))
  for (const [name, size, places] of [
    ['only a hole', 20_000_000, []],
    ['sparse', 9 * MiB, [0, 4 * MiB + 4096, 9 * MiB - 4096]],
    ['sparse with a hole at its end', 6 * MiB, [0, MiB]],
    // Whole blocks of data between holes.
    ['sparse and large', 12 * MiB, Array.from({ length: 24 }, (_, i) => i * 12_288)],
  ] as const) {
    const fd = openSync(at(name), 'w')
    ftruncateSync(fd, size)
    for (const place of places) writeSync(fd, Buffer.alloc(4096, `${place} `), 0, 4096, place)
    closeSync(fd)
  }
  execFileSync('sh', [
    '-c',
    `cd "$1"; for i in 1 2 3 4 5 6; do mkdir ${'d'.repeat(200)}; cd ${'d'.repeat(200)}; done; echo deep > file; ln file link`,
    'sh',
    tree,
  ])
  const times: [string, bigint][] = [
    ['attributes', 1_700_000_000_123_456_789n],
    ['link to bytes', 999_999_999_999_999_999n],
    ['odd/fifo', 1n],
    ['mode 0', -1_500_000_001n],
    ['mode 1', -5n],
    ['mode 2', 20_000_000_000_000_000_000n / 4n],
  ]
  for (const [name, ns] of times) setTimes(bytePath(at(name)), ns, ns)
  chmodSync(at('not to be entered'), 0o100)
}

/** What is in a folder, a line for each file; the same for equal trees. */
export const factsOf = (folder: string): string[] =>
  execFileSync('python3', [join(import.meta.dirname, '../../site/facts.py'), folder], { encoding: 'utf8', maxBuffer: 2 ** 26 })
    .trim()
    .split('\n')
