// How the appliance's machine is, for `status`: by systeminformation, which knows every platform's ways. What needs
// attention is said in words.
import { statfs } from 'node:fs/promises'
import { currentLoad, mem, time } from 'systeminformation'
import { endOf } from './certificates.ts'

const SPACE_WARNING = 0.1
const CERTIFICATE_WARNING_MS = 60 * 24 * 3_600_000
const MEMORY_WARNING = 0.05

export type Health = {
  readonly memory_bytes: number
  readonly memory_free_bytes: number
  readonly load_percent: number
  readonly disk_bytes: number
  readonly disk_free_bytes: number
  readonly uptime_s: number
  readonly time_ms: number
  readonly certificates: Readonly<Record<string, number>>
  readonly attention: readonly string[]
}

/** @param certificates  name → PEM */
export async function readHealth(home: string, certificates: Readonly<Record<string, string>>, now_ms: number): Promise<Health> {
  const [memory, load, disk] = await Promise.all([mem(), currentLoad(), statfs(home)])
  const ends = Object.fromEntries(Object.entries(certificates).map(([name, pem]) => [name, endOf(pem)]))
  const disk_bytes = disk.blocks * disk.bsize
  const disk_free_bytes = disk.bavail * disk.bsize
  const attention: string[] = []
  if (disk_free_bytes < disk_bytes * SPACE_WARNING) attention.push(`the volume of ${home} is nearly full: add space`)
  if (memory.available < memory.total * MEMORY_WARNING) attention.push('memory is nearly used up')
  for (const [name, end_ms] of Object.entries(ends)) {
    if (end_ms - now_ms < CERTIFICATE_WARNING_MS) attention.push(`the certificate of the ${name} ends on ${new Date(end_ms).toLocaleDateString()}`)
  }
  return {
    memory_bytes: memory.total,
    memory_free_bytes: memory.available,
    load_percent: Math.round(load.currentLoad),
    disk_bytes,
    disk_free_bytes,
    uptime_s: Math.round(time().uptime ?? 0),
    time_ms: now_ms,
    certificates: ends,
    attention,
  }
}
