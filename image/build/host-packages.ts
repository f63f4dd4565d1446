// What the build needs of the machine that it runs on: Debian 12 or later, or a system like it. mkosi brings the rest in its
// tools tree.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fault } from './errors.ts'
import { run } from './running.ts'

/** Command (or file) → the package that has it. */
const BUILD: Readonly<Record<string, string>> = {
  bwrap: 'bubblewrap',
  newuidmap: 'uidmap',
  'dpkg-deb': 'dpkg',
  python3: 'python3',
  openssl: 'openssl',
  strip: 'binutils',
  '/usr/share/keyrings/debian-archive-keyring.gpg': 'debian-archive-keyring',
}
/** And to start an image here, as the tests do. */
const START: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  '/usr/share/OVMF/OVMF_CODE_4M.fd': 'ovmf',
  swtpm: 'swtpm',
  swtpm_setup: 'swtpm-tools',
  nbdkit: 'nbdkit',
  cryptsetup: 'cryptsetup-bin',
  sfdisk: 'fdisk',
  mcopy: 'mtools',
  'mkfs.vfat': 'dosfstools',
  'mkfs.ext4': 'e2fsprogs',
}

/**
 * Sees to it that this machine has what is needed; installs it if it may.
 *
 * @param isToStart  also what it takes to start an image
 * @throws HOST_PACKAGES_MISSING, IMAGE_BUILD_FAILED
 */
export async function haveHostPackages(isToStart: boolean, log: string): Promise<void> {
  const wanted = { ...BUILD, ...(isToStart ? START : {}) }
  const missing = Object.keys(wanted).filter(name => !isThere(name))
  if (missing.length === 0) return
  const packages = [...new Set(missing.map(name => wanted[name] ?? name))].sort()
  const install = ['install', '--yes', '--no-install-recommends', ...packages]
  if (process.getuid?.() !== 0) throw fault('HOST_PACKAGES_MISSING', { found: packages.join(' '), next: `as root: apt-get ${install.join(' ')}` })
  process.stderr.write(`image: installing ${packages.join(' ')} …\n`)
  await run(log, 'apt-get', ['update'])
  await run(log, 'apt-get', install, { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
}

function isThere(name: string): boolean {
  const candidates = name.startsWith('/') ? [name] : [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].map(folder => join(folder, name))
  return candidates.some(file => {
    try {
      accessSync(file, name.startsWith('/') ? constants.R_OK : constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
