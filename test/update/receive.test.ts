import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'ava'

const MAIN = join(import.meta.dirname, '../../image/update/main.ts')

test('a machine that does not run from a slot answers that, as the last line, and takes nothing', async t => {
  const child = spawn(process.execPath, [MAIN, 'receive'], { stdio: ['pipe', 'pipe', 'ignore'] })
  let said = ''
  child.stdout.on('data', (part: Buffer) => {
    said += part.toString()
  })
  child.stdin.on('error', () => {})
  const [code] = (await once(child, 'close')) as [number]
  t.is(code, 6)
  t.like(JSON.parse(said), { fault: { code: 'SLOTS_UNKNOWN' } })
})
