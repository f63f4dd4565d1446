// Started in the place of a worker, with its permissions: tries what a worker must not be able to do, and tells what came of it.
import { spawnSync } from 'node:child_process'
import { readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { lineOf } from '#worker/json-lines.ts'
import type { FromWorker, Order } from '#worker/messages.ts'

const line = Buffer.alloc(65_536)
const order = JSON.parse(line.toString('utf8', 0, readSync(0, line))) as Order
const folder = `/${order.paths[0]}`
const root = join(import.meta.dirname, '../../..')

const facts: Record<string, string> = {}
function attempt(what: string, act: () => unknown): void {
  try {
    const answer = act()
    facts[what] = typeof answer === 'string' ? answer : 'done'
  } catch (error) {
    facts[what] = String((error as NodeJS.ErrnoException).code ?? (error as Error).name)
  }
}

attempt('write a file', () => writeFileSync(join(folder, 'written'), 'x'))
attempt('write into the checkout', () => writeFileSync(join(root, 'written'), 'x'))
attempt('read a file elsewhere', () => readFileSync('/etc/passwd'))
attempt('read what is in the environment', () => Object.keys(process.env).sort().join(' '))
attempt('start a process', () => spawnSync('/bin/true'))
attempt('start a thread', () => new Worker('1', { eval: true }))
attempt('make code of text', () => Reflect.construct(Function, ['return 1']))
attempt('read the checkout', () => readFileSync(join(root, 'package.json')))

const told: FromWorker = { kind: 'failed', failed: { code: 'TRIED', message: 'what it tried', next: 'none', exit: 1, facts } }
writeSync(4, lineOf(told))
process.exit(1)
