// What the worker's process may do, what it knows, and how it ends with who started it.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { TicketAnswer } from '#worker/messages.ts'
import { connectWorker, type RunningRestore, WORKER_ENVIRONMENT, WORKER_FLAGS } from '#worker/start-worker.ts'
import { sampleArchive } from './sample.ts'
import { isRoot } from './tree.ts'
import { startWorkerSite } from './worker-site.ts'

const inTests = (name: string): string => join(import.meta.dirname, name)

const archive = await sampleArchive()
const site = await startWorkerSite(archive)
test.after.always(() => site.close())

test('a worker can read the checkout and reach the network; it can not write a file, read another, start a process or a thread', async t => {
  const running = site.start({ paths: [site.folder.slice(1)] }, { main: inTests('trespassing-worker.ts') })
  running.output.on('error', () => {})
  const outcome = await running.outcome
  t.is(outcome.kind, 'failed')
  t.deepEqual(outcome.kind === 'failed' && outcome.failed.facts, {
    'write a file': 'ERR_ACCESS_DENIED',
    'write into the checkout': 'ERR_ACCESS_DENIED',
    'read a file elsewhere': 'ERR_ACCESS_DENIED',
    'read what is in the environment': 'MALLOC_ARENA_MAX MALLOC_MMAP_THRESHOLD_ MALLOC_TRIM_THRESHOLD_',
    'start a process': 'ERR_ACCESS_DENIED',
    'start a thread': 'ERR_ACCESS_DENIED',
    'make code of text': 'EvalError',
    'read the checkout': 'done',
  })
  t.false(readdirSync(site.folder).includes('written'))
})

/** The process of a worker that runs a program. */
const processOf = (program: string): number | undefined =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .find(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program) && readFileSync(`/proc/${pid}/status`, 'utf8').includes(`PPid:\t${process.pid}\n`)
      } catch {
        return false
      }
    })

async function pidOf(program: string): Promise<number> {
  for (;;) {
    const pid = processOf(program)
    if (pid !== undefined) return pid
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** Which of some byte strings are in the memory of a process, by name. */
function foundInMemory(pid: number, wanted: Readonly<Record<string, Buffer>>): string[] {
  const longest = Math.max(...Object.values(wanted).map(bytes => bytes.length))
  const found = new Set<string>()
  const fd = openSync(`/proc/${pid}/mem`, 'r')
  const part = Buffer.alloc(4 * 1024 * 1024)
  for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
    const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line) ?? []
    if (from === '' || line.includes('[v')) continue
    const end = BigInt(`0x${to}`)
    // Parts overlap, so that nothing lies on a border.
    for (let at = BigInt(`0x${from}`); at < end; at += BigInt(part.length - longest)) {
      try {
        const bytes = part.subarray(0, readSync(fd, part, 0, Math.min(part.length, Number(end - at)), at))
        for (const [name, key] of Object.entries(wanted)) if (bytes.includes(key)) found.add(name)
      } catch {
        break
      }
    }
  }
  closeSync(fd)
  return [...found].sort()
}

const stateOf = (pid: number): string => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''

const title = "the user's key is never in a worker's arguments or environment, and after the wipe neither it nor a key made of it is in its memory"
const rootOnly = isRoot ? test.serial : test.serial.skip
rootOnly(`${title}${isRoot ? '' : ' (skipped: only root may read the memory of a process)'}`, async t => {
  const { ring, keys } = archive
  const { escrow, opened } = site.seal(ring)
  const user = { 'user key': Buffer.from(ring.keyOf(1) ?? Buffer.alloc(0)), half: Buffer.from(opened.subarray(0, 32)) }
  const derived = { chunk: keys.chunk, content: keys.content, extents: keys.extents, id: keys.id, path: keys.path, sealing: keys.sealing(1) }
  const program = 'stopped-worker.ts'
  const running = site.start({ format: 'zip', escrow }, { main: inTests(program), opened })
  const pid = await pidOf(program)
  t.teardown(() => void (existsSync(`/proc/${pid}`) && process.kill(pid, 'SIGKILL')))
  await running.begun
  // Nobody reads its output yet, so it is in the middle of its work: it has the keys of the archive, not the user's.
  t.deepEqual(foundInMemory(pid, { ...user, ...derived }), Object.keys(derived))
  t.true(opened.every(byte => byte === 0))
  const outside = Buffer.concat(['cmdline', 'environ'].map(name => readFileSync(`/proc/${pid}/${name}`)))
  for (const key of Object.values({ ...user, ...derived })) {
    for (const text of [key, key.toString('hex'), key.toString('base64')]) t.false(outside.includes(text))
  }
  // Read to its end, it wipes and then stops instead of ending.
  running.output.resume()
  while (stateOf(pid) !== 'T') await new Promise(resolve => setTimeout(resolve, 10))
  t.deepEqual(foundInMemory(pid, { ...user, ...derived }), [])
  process.kill(pid, 'SIGCONT')
  t.deepEqual(await running.outcome, { kind: 'done' })
})

test('a worker asks for a ticket whenever the one that it has is about to end, and goes on', async t => {
  for (const [expires_in_ms, least, most] of [
    [300_000, 1, 1],
    [0, 4, 1000],
  ] as const) {
    let asked = 0
    const ticket = async (): Promise<TicketAnswer> => {
      asked++
      return { ...(await site.ticket()), expires_in_ms }
    }
    const running = site.start({}, { ticket })
    running.output.resume()
    t.deepEqual(await running.outcome, { kind: 'done' })
    t.true(asked >= least && asked <= most, `${asked}`)
  }
})

test('a ticket that is not given ends the restore', async t => {
  const running = site.start({}, { ticket: () => Promise.reject(new Error('no')) })
  running.output.on('error', () => {})
  t.like(await running.outcome, { kind: 'failed', failed: { code: 'RESTORE_INCOMPLETE' } })
})

/** A restore whose output nobody has read to its end. */
async function halfRead(): Promise<{ running: RunningRestore; pid: number }> {
  const running = site.start()
  const pid = await pidOf('restore/main.ts')
  await running.begun
  running.output.on('error', () => {})
  await once(running.output, 'readable')
  return { running, pid }
}

test.serial('a worker ends when nobody wants its output any more, and when it is told to', async t => {
  const ends: ((running: RunningRestore) => Promise<unknown>)[] = [
    async running => running.output.destroy(),
    async running => running.abort(),
    async running => {
      for await (const part of running.output as AsyncIterable<Buffer>) if (part.length > 0) break
    },
  ]
  for (const end of ends) {
    const { running, pid } = await halfRead()
    await end(running)
    t.like(await running.outcome, { kind: 'failed', failed: { code: 'RESTORE_ABORTED' } })
    t.false(existsSync(`/proc/${pid}`))
  }
})

test.serial('a worker that is killed leaves an output that ends with an error, not one that is short', async t => {
  const { running, pid } = await halfRead()
  const error = new Promise(resolve => running.output.once('error', resolve))
  process.kill(pid, 'SIGKILL')
  running.output.resume()
  t.like(await error, { code: 'RESTORE_INCOMPLETE' })
  t.like(await running.outcome, { kind: 'failed', failed: { code: 'RESTORE_INCOMPLETE' } })
})

test('nothing that starts a worker could open a record', t => {
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', LOADED], { encoding: 'utf8', cwd: inTests('../../..') })
  t.deepEqual(JSON.parse(stdout), [])
})

/** Which modules of the agent come along with start-worker.ts. */
const LOADED = `
import { registerHooks } from 'node:module'
const found = []
registerHooks({ load: (url, context, next) => { if (url.includes('/agent/')) found.push(url); return next(url, context) } })
await import('#worker/start-worker.ts')
process.stdout.write(JSON.stringify(found))
`

const ACTIVATE = 'systemd-socket-activate'
const isActivated = spawnSync(ACTIVATE, ['--version']).status === 0
const activated = isActivated ? test : test.skip
activated(
  `a worker that a service manager starts for a connection restores the same bytes, and ends when told to${isActivated ? '' : ` (skipped: no ${ACTIVATE})`}`,
  async t => {
    const path = join(site.folder, 'worker.sock')
    const main = inTests('../../../appliance/restore/main.ts')
    const settings = Object.entries(WORKER_ENVIRONMENT).map(([name, value]) => `--setenv=${name}=${value}`)
    const manager = spawn(ACTIVATE, ['--accept', '--inetd', '--listen', path, ...settings, process.execPath, ...WORKER_FLAGS, main, '0'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    t.teardown(() => manager.kill())
    await once(manager.stderr, 'data')

    const here = await site.restore()
    const running = site.start({}, { worker: connectWorker(path) })
    const parts: Buffer[] = []
    for await (const part of running.output as AsyncIterable<Buffer>) parts.push(part)
    t.deepEqual(await running.outcome, { kind: 'done' })
    t.true(here.bytes.length > 1024 * 1024 && Buffer.concat(parts).equals(here.bytes))

    const second = site.start({}, { worker: connectWorker(path) })
    second.output.on('error', () => {})
    await second.begun
    second.abort()
    t.like(await second.outcome, { kind: 'failed', failed: { code: 'RESTORE_ABORTED' } })

    const third = site.start({}, { worker: connectWorker(join(site.folder, 'nobody.sock')) })
    third.output.on('error', () => {})
    t.like(await third.outcome, { kind: 'failed', failed: { code: 'RESTORE_INCOMPLETE' } })
  },
)
