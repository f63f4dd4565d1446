// What a disk says of itself (SMART): whether it expects to fail. Many virtual and USB disks say nothing, and count as well.
import { Check, Type } from '#protocol/typebox.js'
import type { Device } from './block-devices.ts'
import { run } from './programs.ts'

const TIMEOUT_MS = 20_000
const Said = Type.Object({ smart_status: Type.Object({ passed: Type.Boolean() }) })

export async function isFailing(disk: Device): Promise<boolean> {
  try {
    const said: unknown = JSON.parse(await run('smartctl', ['--json', '--health', disk.path], { isFine: () => true, timeout_ms: TIMEOUT_MS }))
    return Check(Said, said) && !said.smart_status.passed
  } catch {
    return false
  }
}
