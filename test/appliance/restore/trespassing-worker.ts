// Started in the place of a worker, with its permissions: tries what a worker must not be able to do, and tells what came of it.
import { spawnSync } from 'node:child_process'
import { readFileSync, readSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { createSender, WORKER_FD } from '#worker/channel.ts'
import { lineOf } from '#worker/json-lines.ts'
import type { FromWorker, Order } from '#worker/messages.ts'
import { readSecrets } from '#worker/secrets.ts'

readSecrets(WORKER_FD).wipe()
const line = Buffer.alloc(65_536)
let bytes = 0
while (line[bytes - 1] !== 0x0a) bytes += readSync(WORKER_FD, line, bytes, line.length - bytes, null)
const order = JSON.parse(line.toString('utf8', 0, bytes)) as Order
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
const socket = new Socket({ fd: WORKER_FD })
createSender(socket).say(lineOf(told))
socket.end(() => process.exit(1))
