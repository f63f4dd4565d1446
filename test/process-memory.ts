// What the memory of a process holds, looked at from outside.
import { type ChildProcess, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const PART_BYTES = 16 * 1024 * 1024

/** How often each of these is in the memory of a process. */
export function countInMemory(pid: number, wanted: Readonly<Record<string, Buffer>>): Record<string, number> {
  const counts = Object.fromEntries(Object.keys(wanted).map(name => [name, 0]))
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
    const [, from = '', to = '', rights = ''] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? []
    if (!rights.startsWith('rw')) continue
    const [begin, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)]
    for (let at = begin; at < end; at += PART_BYTES) {
      const part = Buffer.alloc(Math.min(PART_BYTES + 128, end - at))
      try {
        part.fill(0, readSync(memory, part, 0, part.length, at))
      } catch {
        continue
      }
      for (const [name, bytes] of Object.entries(wanted)) {
        for (let found = part.indexOf(bytes); found >= 0 && found < PART_BYTES; found = part.indexOf(bytes, found + 1)) counts[name] = (counts[name] ?? 0) + 1
      }
    }
  }
  closeSync(memory)
  return counts
}

/** Where a core goes is the kernel's matter: only with this pattern, to the folder that the process runs in. */
export const coresAreFiles = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim() === 'core' && spawnSync('prlimit', ['--version']).status === 0

/** Ends a process as a crash would, and returns what the kernel writes down of its memory. @param folder  that it runs in */
export async function coreOf(child: ChildProcess, folder: string): Promise<Buffer> {
  const limited = spawnSync('prlimit', ['--core=unlimited', '--pid', String(child.pid)], { encoding: 'utf8' })
  if (limited.status !== 0) throw new Error(limited.stderr)
  const ended = once(child, 'exit')
  child.kill('SIGABRT')
  child.kill('SIGCONT')
  await ended
  const core = join(folder, readdirSync(folder).find(name => /^core(\.\d+)?$/.test(name)) ?? 'no core')
  const memory = readFileSync(core)
  rmSync(core)
  return memory
}
