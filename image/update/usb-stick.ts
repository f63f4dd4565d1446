// A USB stick that somebody put in, for as long as something is done with it.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Type from 'typebox'
import { Check } from 'typebox/value'

const run = promisify(execFile)
const MOUNTS = '/run/holdfast/usb'
/** File systems that sticks come with. Others would only be more code of the kernel for a hostile stick to try. */
const FILE_SYSTEMS = ['vfat', 'exfat'] as const
const LSBLK_BYTES_MAX = 1024 * 1024

const Nullable = Type.Union([Type.String(), Type.Null()])
const Listed = Type.Object({ blockdevices: Type.Array(Type.Object({ path: Type.String(), tran: Nullable, fstype: Nullable, pkname: Nullable })) })

export type UsbVolume = { readonly path: string; readonly fstype: (typeof FILE_SYSTEMS)[number] }

/** Volumes on USB with a file system that is taken, in the order of their names. */
export async function usbVolumes(): Promise<UsbVolume[]> {
  const { stdout } = await run('lsblk', ['--json', '--list', '--paths', '--output', 'PATH,TRAN,FSTYPE,PKNAME'], { maxBuffer: LSBLK_BYTES_MAX })
  const value: unknown = JSON.parse(stdout)
  if (!Check(Listed, value)) return []
  const usb = new Set(value.blockdevices.filter(({ tran }) => tran === 'usb').map(({ path }) => path))
  return value.blockdevices.flatMap(({ path, fstype, pkname }) => {
    const known = FILE_SYSTEMS.find(name => name === fstype)
    return known !== undefined && (usb.has(path) || (pkname !== null && usb.has(pkname))) ? [{ path, fstype: known }] : []
  })
}

/** Mounts a volume, read only, while `use` runs. */
export async function withVolume<Answer>({ path, fstype }: UsbVolume, use: (folder: string) => Promise<Answer>): Promise<Answer> {
  await mkdir(MOUNTS, { recursive: true, mode: 0o700 })
  const folder = await mkdtemp(join(MOUNTS, 'stick-'))
  try {
    await run('mount', ['--types', fstype, '--options', 'ro,nodev,nosuid,noexec', path, folder])
    try {
      return await use(folder)
    } finally {
      await run('umount', [folder])
    }
  } finally {
    await rmdir(folder)
  }
}
