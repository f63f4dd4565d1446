import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createExclude } from '#filesystem/exclude.ts'
import { createScan, type ScanOptions } from '#filesystem/scan.ts'
import { createScanGroup, depthOf, FLAG, flagsOf, nameOf } from '#filesystem/scan-group.ts'
import { bytePath, shownPath } from '#filesystem/system-path.ts'
import { comparePaths } from '#format/path-order.ts'

type Scanned = { readonly path: string; readonly name: string; readonly depth: number; readonly isAbove: boolean }

const root = mkdtempSync(join(tmpdir(), 'holdfast-scan-'))
test.after.always(() => execFileSync('rm', ['-rf', root]))

function scan(
  paths: string[],
  more: Partial<ScanOptions> & { patterns?: string[] } = {},
): { entries: Scanned[]; names: string[]; unreadable: [string, string][] } {
  const unreadable: [string, string][] = []
  const walk = createScan({
    paths,
    exclude: createExclude(more.patterns ?? []),
    oneFileSystem: false,
    onUnreadable: (path, reason) => unreadable.push([path, reason]),
    ...more,
  })
  const entries: Scanned[] = []
  const group = createScanGroup()
  const way: string[] = []
  for (let count = walk.fill(group, false); count > 0; count = walk.fill(group, false)) {
    for (let i = 0; i < count; i++) {
      const depth = depthOf(group, i)
      const name = nameOf(group, i)
      way.length = depth - 1
      way.push(name)
      entries.push({ path: way.join('/'), name, depth, isAbove: (flagsOf(group, i) & FLAG.isAbove) !== 0 })
    }
  }
  const base = bytePath(root)
  return { entries, names: entries.filter(({ path }) => path.startsWith(`${base}/`)).map(({ path }) => path.slice(base.length + 1)), unreadable }
}

const put = (...names: string[]): void => {
  for (const name of names) {
    mkdirSync(join(root, name, '..'), { recursive: true })
    writeFileSync(join(root, name), name)
  }
}

test('entries come in path order, a directory before what is in it, each with its depth and name', t => {
  put('order/a/b', 'order/a-b', 'order/a.c', 'order/ab/c', 'order/B', 'order/a0')
  const { entries, names } = scan([join(root, 'order')])
  t.deepEqual(names, ['order', 'order/B', 'order/a', 'order/a/b', 'order/a-b', 'order/a.c', 'order/a0', 'order/ab', 'order/ab/c'])
  let before = ''
  for (const { path, depth, name } of entries) {
    t.is(depth, path.split('/').length)
    t.is(name, path.split('/').at(-1) ?? '')
    t.true(comparePaths(before, path) < 0)
    before = path
  }
})

test('the directories above the backup set are there, and nothing else of what is in them', t => {
  put('above/in/x', 'above/beside/y', 'above/z')
  const { entries, names } = scan([join(root, 'above', 'in')])
  t.deepEqual(names, ['above', 'above/in', 'above/in/x'])
  t.deepEqual(
    entries.filter(({ isAbove }) => isAbove).map(({ path }) => path),
    bytePath(root)
      .split('/')
      .map((_, i, parts) => parts.slice(0, i + 1).join('/'))
      .concat(`${bytePath(root)}/above`),
  )
})

test('paths that lie in one another, or are named twice, count once', t => {
  put('nested/a/b')
  const all = join(root, 'nested')
  t.deepEqual(scan([join(all, 'a'), all, `${all}/`]).names, ['nested', 'nested/a', 'nested/a/b'])
})

test('a single file can be backed up', t => {
  put('single/file', 'single/other')
  t.deepEqual(scan([join(root, 'single', 'file')]).names, ['single', 'single/file'])
})

test('names that are not UTF-8 are kept byte for byte', t => {
  mkdirSync(join(root, 'bytes'))
  writeFileSync(Buffer.concat([Buffer.from(`${root}/bytes/`), Buffer.from([0xff, 0xfe, 0x41])]), 'x')
  writeFileSync(join(root, 'bytes', 'ä\n'), 'x')
  const { names } = scan([join(root, 'bytes')])
  t.true(names.includes('bytes/\xff\xfeA'))
  t.is(shownPath('\xff\xfeA'), '\\xff\\xfeA')
  t.is(shownPath(bytePath('/ä\n')), 'ä\\x0a')
})

test('exclude patterns have gitignore syntax, relative to each path of the set', t => {
  put('excluded/keep.log', 'excluded/a.log', 'excluded/deep/b.log', 'excluded/build/x', 'excluded/deep/build/y', 'excluded/c')
  const { names } = scan([join(root, 'excluded')], { exclude: createExclude(['*.log', '!keep.log', '/build/']) })
  t.deepEqual(names, ['excluded', 'excluded/c', 'excluded/deep', 'excluded/deep/build', 'excluded/deep/build/y', 'excluded/keep.log'])
})

test('of a cache directory only the tag is kept', t => {
  put('cache/x', 'cache/y/z')
  writeFileSync(join(root, 'cache', 'CACHEDIR.TAG'), 'Signature: 8a477f597d28d172789f06886806bc55\n# more')
  put('nocache/x', 'nocache/CACHEDIR.TAG')
  t.deepEqual(scan([join(root, 'cache')]).names, ['cache', 'cache/CACHEDIR.TAG'])
  t.is(scan([join(root, 'nocache')]).names.length, 3)
})

test('symlinks are entries, never followed', t => {
  mkdirSync(join(root, 'links'))
  symlinkSync('/etc', join(root, 'links', 'etc'))
  symlinkSync('.', join(root, 'links', 'self'))
  t.deepEqual(scan([join(root, 'links')]).names, ['links', 'links/etc', 'links/self'])
})

test('a socket is passed over and said', t => {
  mkdirSync(join(root, 'sockets'))
  execFileSync('python3', ['-c', 'import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])', join(root, 'sockets', 's')])
  const { names, unreadable } = scan([join(root, 'sockets')])
  t.deepEqual(names, ['sockets'])
  t.deepEqual(
    unreadable.map(([, reason]) => reason),
    ['SOCKET'],
  )
})

test('a path of the set that is gone is said', t => {
  t.deepEqual(scan([join(root, 'gone')]).unreadable, [[bytePath(join(root, 'gone')), 'ENOENT']])
})

test('100,000 entries in one directory are walked in order', t => {
  const folder = join(root, 'many')
  mkdirSync(folder)
  for (let i = 0; i < 100_000; i++) mkdirSync(join(folder, `${i}`))
  const { entries } = scan([folder])
  t.is(entries.filter(({ path }) => path.startsWith(`${bytePath(folder)}/`)).length, 100_000)
  rmSync(folder, { recursive: true })
})

test('a path longer than the system takes is said, and the walk goes on', t => {
  const deep = join(root, 'deep')
  mkdirSync(deep)
  execFileSync('python3', [
    '-c',
    `
import os, sys
os.chdir(sys.argv[1])
for i in range(25):
    os.mkdir('d' * 200); os.chdir('d' * 200)
`,
    deep,
  ])
  put('deep/z')
  const { names, unreadable } = scan([deep])
  t.true(names.includes('deep/z'))
  t.deepEqual(
    unreadable.map(([, reason]) => reason),
    ['PATH_TOO_LONG'],
  )
})
