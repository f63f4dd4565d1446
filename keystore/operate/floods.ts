// Floods in the keystore's own audit log: requests that its limits refused. Whoever has the key that signs sign-ins and asks
// the keystore by themselves shows here, and nowhere at the appliance.
import { statSync } from 'node:fs'
import { eachLine } from './log-lines.ts'

/** Of a log that is looked at for the first time, so much of its end. */
const TAIL_BYTES = 64 * 1024 * 1024
/** A flood is over when nothing was refused for so long. */
const FLOOD_MS = 3_600_000
const MARK = Buffer.from('rate limit quota exceeded')
const PLACE = /"time":"([^"]{10,40})".*"path":"(?:tr|auth\/jwt|auth\/userpass)-([a-z0-9-]{1,64})\//

export type Flood = { readonly tenant: string; readonly last_ms: number }

export type FloodWatch = {
  /** The tenants of which something was refused in the last hour. @throws LOG_UNREADABLE */
  look(now_ms: number): Promise<readonly Flood[]>
}

/** @param files  the audit log of each node, of one audit device; each time only what is new in them is read */
export function createFloodWatch(files: readonly string[]): FloodWatch {
  const read_bytes = new Map<string, number>()
  const last = new Map<string, number>()
  const readNew = async (file: string): Promise<void> => {
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
    const before = read_bytes.get(file) ?? Math.max(0, size - TAIL_BYTES)
    let whole_bytes = before > size ? 0 : before
    await eachLine(
      file,
      (line, offset, isWhole) => {
        if (!isWhole) return
        whole_bytes = offset + line.length + 1
        const [, time = '', tenant] = line.includes(MARK) ? (PLACE.exec(line.toString('latin1')) ?? []) : []
        if (tenant !== undefined) last.set(tenant, Math.max(last.get(tenant) ?? 0, Date.parse(time)))
      },
      whole_bytes,
    )
    read_bytes.set(file, whole_bytes)
  }
  return {
    async look(now_ms) {
      for (const file of files) await readNew(file)
      return [...last].flatMap(([tenant, last_ms]) => (now_ms - last_ms < FLOOD_MS ? [{ tenant, last_ms }] : []))
    },
  }
}
