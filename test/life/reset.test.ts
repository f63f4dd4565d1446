// A factory reset of real disks.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { findDisk, listDevices } from '#image-life/block-devices.ts'
import { writeDataDisks } from '#image-life/data-disks.ts'
import { formatLuks, keyFileOf, openLuks } from '#image-life/luks.ts'
import { destroyEverything, eraseDataDisks, hearOfDevicesAgain } from '#image-life/reset.ts'
import { hasEncryption, hasHeaders, makeDisks, needingEncryption, needingHeaders, RECOVERY_KEY } from './disks.ts'

const MIB = 1024 * 1024
const PARTITIONS = 'label: gpt\nsize=16M, name=other\nsize=64M, name=state\n'
const run = hasEncryption ? test : test.skip
const FAST = ['--type', 'luks2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000']
const KEY_SLOT = /^ {2}\d+: luks2$/m
const headerOf = (path: string): string => execFileSync('cryptsetup', ['luksDump', path], { encoding: 'utf8' })

const runHeaders = hasHeaders ? test : test.skip
runHeaders(needingHeaders('a data disk that can not be written, and one that is away, are named, and the others are erased'), async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-reset-'))
  const imageOf = (name: string): string => {
    const image = join(folder, name)
    writeFileSync(image, '')
    truncateSync(image, 32 * MIB)
    execFileSync('cryptsetup', ['luksFormat', '--batch-mode', ...FAST, image, '-'], { input: RECOVERY_KEY })
    return image
  }
  const failing = execFileSync('losetup', ['--find', '--show', '--read-only', imageOf('failing')], { encoding: 'utf8' }).trim()
  try {
    const paths: Readonly<Record<string, string>> = { failing, good: imageOf('good') }
    const disks = ['failing', 'away', 'good'].map(serial => ({ serial, luks: serial, since_ms: 1, part: 'member', is_stale: false }) as const)
    t.deepEqual(await eraseDataDisks(name => paths[name], disks), ['failing', 'away'])
    t.regex(headerOf(failing), KEY_SLOT)
    t.notRegex(headerOf(join(folder, 'good')), KEY_SLOT)
  } finally {
    execFileSync('losetup', ['--detach', failing])
    rmSync(folder, { recursive: true })
  }
})

run(
  needingEncryption(
    'after a factory reset neither state nor data disk opens with any key, and the state is out of the partition table, which else is as it was',
  ),
  async t => {
    const disks = makeDisks()
    try {
      const system = `/dev/${disks.add(128 * MIB)}`
      execFileSync('sfdisk', ['--quiet', system], { input: PARTITIONS })
      execFileSync('partx', ['--update', system])
      const state = `${system}p2`
      execFileSync('cryptsetup', ['luksFormat', '--batch-mode', ...FAST, state, '-'], {
        input: RECOVERY_KEY,
      })
      execFileSync('cryptsetup', ['open', '--key-file', '-', state, disks.place.stateMapping], { input: RECOVERY_KEY })
      const serial = disks.add()
      const device = findDisk(await listDevices(), serial)
      const luks = await formatLuks(disks.place, device, RECOVERY_KEY)
      await openLuks(disks.place, device.path, luks)
      const disk = { serial, luks, since_ms: 1, part: 'member' as const, is_stale: false }
      await writeDataDisks(disks.place, { version: 1, filesystem: luks, disks: [disk], has_old_copy: false })

      t.deepEqual(await destroyEverything(disks.place), [])
      t.deepEqual(execFileSync('sfdisk', ['--dump', system], { encoding: 'utf8' }).match(/name="[^"]*"/g), ['name="other"'])
      t.false(existsSync(keyFileOf(disks.place)))
      for (const path of [state, device.path]) {
        const opened = spawnSync('cryptsetup', ['open', '--test-passphrase', '--key-file', '-', path], { input: RECOVERY_KEY })
        t.not(opened.status, 0, path)
      }
      t.notRegex(headerOf(device.path), KEY_SLOT)
    } finally {
      // This machine is not restarted.
      await hearOfDevicesAgain()
      disks.close()
    }
  },
)
