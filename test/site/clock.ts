// Clocks of a site's processes that are wrong, for tests.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const HOUR_MS = 3_600_000

/** What makes a process's clock wrong by so much. */
export function shifted(folder: string, by_ms: number): { NODE_OPTIONS: string } {
  const file = join(folder, `shift-${by_ms}.mjs`)
  writeFileSync(
    file,
    `const real = Date; const by = ${by_ms}
globalThis.Date = class extends real { constructor(...list) { if (list.length === 0) super(real.now() + by); else super(...list) } static now() { return real.now() + by } }
`,
  )
  return { NODE_OPTIONS: `--import=file://${file}` }
}
