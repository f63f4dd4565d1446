// The machine service's door, with acts of our own behind it.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { fault, LIFE_ERRORS } from '#image-life/errors.ts'
import { serveMachine } from '#image-life/machine.ts'
import { type Act, actOf } from '#image-update/act.ts'
import { Type } from '#protocol/typebox.js'

const ROOT = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'holdfast-machine-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

/** What comes back for a line, parsed. */
function ask(path: string, line: string, onLine: (line: unknown) => void = () => undefined): Promise<unknown[]> {
  const socket = connect(path)
  socket.write(line)
  const lines: unknown[] = []
  return new Promise((resolve, reject) => {
    createInterface(socket).on('line', text => {
      const value: unknown = JSON.parse(text)
      lines.push(value)
      onLine(value)
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(lines))
  })
}

async function serve(acts: Record<string, Act>): Promise<{ path: string; close(): void }> {
  const path = join(folder, `${Math.random().toString(36).slice(2)}.sock`)
  const server = serveMachine(acts)
  await new Promise<void>(resolve => server.listen(path, resolve))
  return { path, close: () => server.close() }
}

const codeOf = (lines: readonly unknown[]): string => (lines.at(-1) as { fault?: { code: string } }).fault?.code ?? ''

test('a request is answered with its progress, and then done or one fault, which has no word of the request in it', async t => {
  const { path, close } = await serve({
    'sums.add': actOf(Type.Object({ numbers: Type.Array(Type.Number()) }, { additionalProperties: false }), async ({ numbers }, say) => {
      say({ step: 'add' })
      return { sum: numbers.reduce((a, b) => a + b, 0) }
    }),
    'sums.fail': actOf(Type.Object({}), () => Promise.reject(fault('DISK_UNKNOWN', { found: 'none' }))),
    'sums.break': actOf(Type.Object({}), () => Promise.reject(new Error('a stack with a secret'))),
  })
  t.deepEqual(await ask(path, '{"act":"sums.add","numbers":[1,2]}\n'), [{ progress: { step: 'add' } }, { done: { sum: 3 } }])
  t.is(codeOf(await ask(path, '{"act":"sums.fail"}\n')), 'DISK_UNKNOWN')
  t.is(codeOf(await ask(path, '{"act":"sums.add","numbers":["hunter2"]}\n')), 'REQUEST_INVALID')
  t.is(codeOf(await ask(path, '{"act":"constructor"}\n')), 'ACT_UNKNOWN')
  for (const line of ['{"act":"sums.add","numbers":["hunter2"]}\n', '{"act":"hunter2\n', '{"act":"sums.break"}\n']) {
    const lines = await ask(path, line)
    t.is(lines.length, 1)
    t.notRegex(JSON.stringify(lines), /hunter2|secret/)
  }
  close()
})

test('one act runs at a time, one that only looks beside it, and one goes on when nobody listens any more', async t => {
  let finish: (() => void) | undefined
  let isDone = false
  const { path, close } = await serve({
    'disks.use': async (_, say) => {
      say({ step: 'begun' })
      await new Promise<void>(resolve => {
        finish = resolve
      })
      isDone = true
      return {}
    },
    'disks.list': () => Promise.resolve({ disks: [] }),
  })
  const socket = connect(path)
  socket.write('{"act":"disks.use"}\n')
  await new Promise(resolve => socket.once('data', resolve))
  t.is(codeOf(await ask(path, '{"act":"disks.use"}\n')), 'MACHINE_BUSY')
  t.deepEqual(await ask(path, '{"act":"disks.list"}\n'), [{ done: { disks: [] } }])
  socket.destroy()
  await new Promise(resolve => socket.once('close', resolve))
  finish?.()
  // The next is taken only when the first has ended.
  t.deepEqual(await ask(path, '{"act":"disks.list"}\n'), [{ done: { disks: [] } }])
  t.true(isDone)
  close()
})

test('the service itself listens where only its owner and group may connect, and knows the acts of all rooms', async t => {
  const path = join(folder, 'machine.sock')
  const child = spawn(process.execPath, [join(ROOT, 'image/life/machine.ts'), '--socket', path], { stdio: ['ignore', 'ignore', 'inherit'] })
  try {
    while (!(statSync(path, { throwIfNoEntry: false })?.isSocket() === true && (statSync(path).mode & 0o777) === 0o660)) await new Promise(setImmediate)
    for (const act of ['disks.use', 'update.show', 'network.set', 'archives.export', 'reset.confirm'])
      t.is(codeOf(await ask(path, `{"act":"${act}","nonsense":true}\n`)), 'REQUEST_INVALID', act)
    t.true(Object.keys(LIFE_ERRORS).includes(codeOf(await ask(path, '{"act":"disks.format"}\n'))))
  } finally {
    child.kill()
  }
})
