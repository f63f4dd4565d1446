// What the memory of a process holds, looked at from outside.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

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
