// What is mounted where.
import { readFile } from 'node:fs/promises'
import { run } from './programs.ts'

/** Nothing of a data or USB disk is executed, no device or privilege comes from it, and no name in it leads out of it. */
const SAFE = 'nosuid,nodev,noexec,nosymfollow,noatime'

/** Whether something is mounted exactly here. */
export async function isMounted(path: string): Promise<boolean> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')
  return lines.some(line => unescaped(line.split(' ')[4] ?? '') === path)
}

const unescaped = (path: string): string => path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** @throws PROGRAM_FAILED */
export async function mount(device: string, path: string, type: string, options: readonly string[] = []): Promise<void> {
  await run('mount', ['--types', type, '--options', [SAFE, ...options].join(','), device, path])
}

/** Whatever is written there is on the disk when it returns; does nothing if nothing is mounted. */
export async function unmount(path: string): Promise<void> {
  if (await isMounted(path)) await run('umount', [path])
}
