// Everything that a file can be, through the commands that a user types, told apart by a program that is not ours.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { makeNode, setTimes, setXattr } from '#filesystem/libc.ts'
import { bytePath } from '#filesystem/system-path.ts'
import { startSite } from './site.ts'

const site = await startSite()
test.after.always(() => {
  // Paths that are longer than any call takes: rm goes down step by step.
  spawnSync('rm', ['-rf', join(site.folder, 'tree'), join(site.folder, 'back')])
  return site.close()
})
const isRoot = process.getuid?.() === 0
let home = ''
test.before(async () => {
  home = await site.pair('ann')
})
const factsOf = (folder: string): string[] =>
  execFileSync('python3', [join(import.meta.dirname, 'facts.py'), folder], { encoding: 'utf8', maxBuffer: 2 ** 26 })
    .trim()
    .split('\n')
type Report = { unreadable: { path: string; reason: string }[]; files: number; verified?: boolean }

test.serial('names as bytes, long paths, links, nodes, modes, owners, nanoseconds, attributes and holes come back as they were', async t => {
  const tree = join(site.folder, 'tree')
  makeEverything(tree)
  const report = await site.agentJson<Report>(home, 'backup', tree)
  t.deepEqual(
    report.unreadable.map(({ reason }) => reason),
    [],
  )
  const back = join(site.folder, 'back')
  const restored = await site.agentJson<Report>(home, 'restore', '--to', back)
  t.true(restored.verified)
  const facts = factsOf(tree)
  t.true(facts.length > 35, `${facts.length}`)
  t.true(
    facts.some(line => /:[34]\d{3} /.test(line)),
    'there is a path of thousands of bytes',
  )
  t.deepEqual(factsOf(join(back, tree)), facts)
})

test.serial('100,000 entries in one directory', async t => {
  const many = join(site.folder, 'many')
  mkdirSync(many)
  for (let i = 0; i < 100_000; i++) writeFileSync(join(many, `entry ${i}`), i % 1000 === 0 ? `${i}` : '')
  const report = await site.agentJson<Report>(home, 'backup', many)
  t.is(report.files, 100_000)
  const back = join(site.folder, 'many back')
  await site.agentJson(home, 'restore', '--to', back)
  t.deepEqual(factsOf(join(back, many)), factsOf(many))
})

test.serial('a socket and a file that does not hold still are said, and only the second is exit code 3', async t => {
  const folder = join(site.folder, 'restless')
  mkdirSync(folder)
  writeFileSync(join(folder, 'still'), 'still')
  const server = createServer()
  await new Promise<void>(resolve => server.listen(join(folder, 'socket'), resolve))
  const quiet = await site.agent(home, 'backup', folder)
  t.is(quiet.code, 0, quiet.err)
  t.regex(quiet.out + quiet.err, /socket/i)
  server.close()
  const log = join(folder, 'log')
  // So long that the writer has its turns while it is read, however busy the machine is.
  writeFileSync(log, Buffer.alloc(60_000_000, 'x'))
  const writer = spawn('dd', ['if=/dev/zero', `of=${log}`, 'bs=1', 'count=1000000000', 'oflag=append', 'conv=notrunc'], { stdio: 'ignore' })
  while (statSync(log).size < 60_000_100) await new Promise(resolve => setImmediate(resolve))
  const restless = await site.agent(home, 'backup', folder)
  writer.kill('SIGKILL')
  t.is(restless.code, 3, restless.err)
  t.regex(restless.out + restless.err, /restless\/log/)
  const back = join(site.folder, 'restless back')
  await site.agentJson(home, 'restore', '--to', back)
  t.deepEqual(readdirSync(join(back, folder)).sort(), ['log', 'still'])
})

function makeEverything(tree: string): void {
  mkdirSync(tree)
  const at = (name: string): string => join(tree, name)
  mkdirSync(at('empty'))
  writeFileSync(at('empty file'), '')
  for (const bytes of [[0xff], [0xc3, 0x28], [0x0a], [0x80, 0x81], [0x5c, 0x22]])
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/b`), Buffer.from(bytes)]), 'bytes')
  writeFileSync(at('n'.repeat(255)), 'long name')
  symlinkSync(Buffer.from([0x2e, 0x2e, 0x2f, 0xff]), at('link to bytes'))
  symlinkSync('.', at('link to itself'))
  symlinkSync('x'.repeat(4000), at('long target'))
  writeFileSync(at('hard'), 'one file, three names')
  linkSync(at('hard'), at('hard 2'))
  mkdirSync(at('elsewhere'))
  linkSync(at('hard'), at('elsewhere/hard 3'))
  execFileSync('mkfifo', [at('fifo')])
  for (const [i, mode] of [0o4755, 0o2755, 0o1777, 0o000, 0o7777].entries()) {
    writeFileSync(at(`mode ${i}`), '')
    chmodSync(at(`mode ${i}`), mode)
  }
  mkdirSync(at('set gid'))
  chmodSync(at('set gid'), 0o2770)
  if (isRoot) {
    makeNode(bytePath(at('character')), 0o020_600, 4000, 70_000)
    makeNode(bytePath(at('block')), 0o060_640, 7, 300)
    writeFileSync(at('of another'), '')
    chownSync(at('of another'), 54_321, 4_000_000_000)
  }
  writeFileSync(at('attributes'), '')
  try {
    setXattr(bytePath(at('attributes')), 'user.bytes', Buffer.from([0, 1, 255]))
    setXattr(bytePath(at('attributes')), 'user.empty', Buffer.alloc(0))
  } catch {
    // This file system has none.
  }
  for (const [name, size, places] of [
    ['only a hole', 20_000_000, []],
    ['sparse', 5 * 2 ** 30, [0, 2 ** 31 + 5, 4 * 2 ** 30 + 17, 5 * 2 ** 30 - 4096]],
  ] as const) {
    const fd = openSync(at(name), 'w')
    ftruncateSync(fd, size)
    for (const place of places) writeSync(fd, Buffer.alloc(3000, `${place} `), 0, 3000, place)
    closeSync(fd)
  }
  // Step by step: the whole path is about as long as a path can be.
  const steps = Math.floor((4000 - Buffer.byteLength(tree)) / 201)
  execFileSync('sh', [
    '-c',
    `cd "$1"; n=$2; while [ $n -gt 0 ]; do mkdir ${'d'.repeat(200)}; cd ${'d'.repeat(200)}; n=$((n-1)); done; echo deep > file`,
    'sh',
    tree,
    `${steps}`,
  ])
  const times: [string, bigint][] = [
    ['empty file', 1_700_000_000_123_456_789n],
    ['link to bytes', 999_999_999_999_999_999n],
    ['fifo', 1n],
    ['empty', -1_500_000_001n],
  ]
  for (const [name, ns] of times) setTimes(bytePath(at(name)), ns, ns)
}
