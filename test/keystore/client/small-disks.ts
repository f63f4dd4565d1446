// A node of a keystore whose audit logs are on two small disks of their own, which a test can fill.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FILES } from '#keystore-server/configuration.ts'

const DISK_BYTES = 16 * 1024 * 1024

export type SmallDisks = {
  /** Takes all that is left of both. @returns what gives each back */
  fill(): (() => void)[]
  /** Before the folder is removed, when the node does not run any more. */
  unmount(): void
}

/** @param folder  where a keystore of one node will be made. @returns undefined without the right to mount */
export function mountSmallDisks(folder: string): SmallDisks | undefined {
  const disks = FILES.audits.map(file => join(folder, 'n1', dirname(file)))
  const unmount = (): void => {
    for (const disk of disks) {
      try {
        execFileSync('umount', ['-l', disk], { stdio: 'ignore' })
      } catch {}
    }
  }
  try {
    for (const disk of disks) {
      mkdirSync(disk, { recursive: true })
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'none', disk], { stdio: 'ignore' })
    }
  } catch {
    unmount()
    return undefined
  }
  return { fill: () => disks.map(fill), unmount }
}

function fill(disk: string): () => void {
  const file = join(disk, 'filler')
  const fd = openSync(file, 'w')
  const page = Buffer.alloc(4096)
  try {
    for (;;) writeSync(fd, page)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(fd)
  }
  if (statfsSync(disk).bavail > 0) throw new Error('not full')
  return () => rmSync(file)
}
