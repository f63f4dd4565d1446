// holdfast-appliance run: authority and storage node as two processes under one parent, which starts again what ended,
// and ends both when it is told to.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import { isRunning } from '#authority/authority.ts'
import { fault } from '#authority/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { STORAGE_NODE_FLAGS, storageNodeEnvironment } from '#storage/node-flags.ts'

/** A small heap: the authority holds a few thousand devices at most. */
const AUTHORITY_FLAGS = ['--max-old-space-size=96', '--max-semi-space-size=1']
const PAUSE_MS = 500
const PAUSE_MS_MAX = 30_000
/** A process that lived so long starts again without a pause. */
const STEADY_MS = 60_000

type Child = { readonly process: ChildProcess; readonly ready: Promise<Record<string, unknown>>; readonly ended: Promise<number> }

export function registerRun(program: Command, frame: Frame): void {
  program
    .command('run')
    .description('run the appliance: authority and storage node, until SIGTERM or Ctrl-C; says {"ready":true,…} on stdout')
    .action(async () => {
      const home = frame.home()
      if (!existsSync(join(home, 'config.json'))) throw fault('SITE_MISSING', { found: home })
      if (await isRunning(home)) throw fault('SITE_BUSY', { found: home })
      await run(home, frame)
    })
}

async function run(home: string, frame: Frame): Promise<void> {
  const started: Child[] = []
  try {
    const storage = start('storage', home)
    started.push(storage)
    const authority = start('authority', home)
    started.push(authority)
    const [, said] = await Promise.all([storage.ready, authority.ready])
    process.stdout.write(`${JSON.stringify({ ready: true, authority: said['url'], storage: said['storage_url'] })}\n`)
    const kept = [keep('storage', storage, home, frame, started), keep('authority', authority, home, frame, started)]
    await new Promise<void>(resolve => {
      if (frame.signal.aborted) resolve()
      frame.signal.addEventListener('abort', () => resolve())
    })
    for (const child of started) child.process.kill('SIGTERM')
    await Promise.all(kept)
  } catch (error) {
    for (const child of started) child.process.kill('SIGTERM')
    await Promise.all(started.map(child => child.ended))
    throw error
  }
}

/** Starts a process again whenever it ends, with growing pauses, until the parent ends. */
async function keep(name: 'storage' | 'authority', first: Child, home: string, frame: Frame, started: Child[]): Promise<void> {
  let child = first
  let pause_ms = PAUSE_MS
  for (;;) {
    const begun_ms = performance.now()
    const code = await child.ended
    started.splice(started.indexOf(child), 1)
    if (frame.signal.aborted) return
    pause_ms = performance.now() - begun_ms > STEADY_MS ? PAUSE_MS : Math.min(PAUSE_MS_MAX, pause_ms * 2)
    frame.say(`the ${name} process ended (${code}); it is started again in ${pause_ms / 1000} s`)
    await wait(pause_ms, undefined, { signal: frame.signal }).catch(() => {})
    if (frame.signal.aborted) return
    child = start(name, home)
    child.ready.catch(() => {})
    started.push(child)
  }
}

function start(name: 'storage' | 'authority', home: string): Child {
  const main = join(import.meta.dirname, '..', name, 'main.ts')
  // Its own process group: Ctrl-C reaches the parent only, which ends both in order.
  const child = spawn(process.execPath, [...(name === 'storage' ? STORAGE_NODE_FLAGS : AUTHORITY_FLAGS), main, '--home', home], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: name === 'storage' ? { ...process.env, ...storageNodeEnvironment(home) } : process.env,
  })
  let said = ''
  child.stderr.on('data', (part: Buffer) => {
    said = (said + part.toString('utf8')).slice(-4000)
    process.stderr.write(part)
  })
  const ended = new Promise<number>(resolve => child.once('close', code => resolve(code ?? 1)))
  const ready = new Promise<Record<string, unknown>>((resolve, reject) => {
    createInterface(child.stdout).once('line', line => resolve(JSON.parse(line) as Record<string, unknown>))
    void ended.then(() => reject(fault('START_FAILED', { found: said.trim().split('\n').at(-1) ?? name })))
  })
  return { process: child, ready, ended }
}
