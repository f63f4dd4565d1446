// Disks for a test: files behind loop devices, and an encrypted state as the appliance has one.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type Place, placeAt } from '#image-life/place.ts'

const MIB = 1024 * 1024
export const RECOVERY_KEY = 'cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv'

const command = (program: string, ...parameters: string[]): string =>
  execFileSync(program, parameters, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] }).trim()

const isRoot = process.getuid?.() === 0 && existsSync('/dev/loop-control') && spawnSync('losetup', ['--find']).status === 0
const hasAll = (...programs: string[]): boolean => programs.every(name => spawnSync(name, ['--version']).error === undefined)

/** Whether a test with loop devices and file systems can run here. */
export const hasDisks = isRoot && hasAll('mkfs.btrfs', 'mkfs.ext4', 'wipefs', 'lsblk')
/** The same, and with what encryption keeps on a disk; nothing encrypted is opened. */
export const hasHeaders = hasDisks && hasAll('cryptsetup')
/** The same, with encryption. */
export const hasEncryption = hasHeaders && hasAll('udevadm') && spawnSync('dmsetup', ['targets'], { encoding: 'utf8' }).stdout?.includes('crypt') === true

export const needingDisks = (title: string): string => (hasDisks ? title : `${title} (needs root, loop devices, btrfs)`)
export const needingHeaders = (title: string): string => (hasHeaders ? title : `${title} (needs root, loop devices, btrfs, cryptsetup)`)
export const needingEncryption = (title: string): string =>
  hasEncryption ? title : `${title} (needs root, loop devices, btrfs, cryptsetup, udevadm, dm-crypt)`

export type TestDisks = {
  readonly folder: string
  readonly place: Place
  /** A new disk, by the name that stands for its serial number. */
  add(size_bytes?: number): string
  /** Disconnects a disk, and connects it again. */
  disconnect(serial: string): void
  connect(serial: string): void
  /** As at power-off: everything of the data disks unmounted and closed. */
  closeAll(): void
  close(): void
}

/** @param onStop  what happens when the storage node is stopped for the archives to move */
export function makeDisks({ onStop = () => undefined }: { onStop?: () => void } = {}): TestDisks {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-disks-'))
  const images = new Map<string, string>()
  let isStopped = false
  const place: Place = {
    ...placeAt(join(folder, 'home'), join(folder, 'run'), join(import.meta.dirname, '../..'), {
      stopStorage: () => {
        isStopped = true
        onStop()
        return Promise.resolve()
      },
      startStorage: () => {
        isStopped = false
        return Promise.resolve()
      },
    }),
    stateMapping: `state-${basename(folder)}`,
  }
  for (const part of ['home/storage/archives', 'run']) mkdirSync(join(folder, part), { recursive: true, mode: 0o700 })
  const disks: TestDisks = {
    folder,
    place,
    add(size_bytes = 320 * MIB) {
      const image = join(folder, `${images.size}.img`)
      writeFileSync(image, '')
      truncateSync(image, size_bytes)
      const serial = basename(command('losetup', '--find', '--show', image))
      images.set(serial, image)
      return serial
    },
    disconnect: serial => void command('losetup', '--detach', `/dev/${serial}`),
    connect: serial => void command('losetup', `/dev/${serial}`, images.get(serial) ?? ''),
    closeAll() {
      if (isStopped) throw new Error('the storage node was not started again')
      for (const path of [place.archives, join(place.run, 'new-data'), join(place.run, 'under')]) spawnSync('umount', [path])
      const list = join(place.own, 'disks.json')
      const known = existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as { disks: { luks: string }[] }).disks : []
      for (const { luks } of known) spawnSync('cryptsetup', ['close', `holdfast-data-${luks.slice(0, 8)}`])
      for (const image of images.values()) {
        const mapped = spawnSync('lsblk', ['--noheadings', '--list', '--output', 'NAME,TYPE', ...loopsOf(image)], { encoding: 'utf8' }).stdout ?? ''
        for (const [, name] of mapped.matchAll(/^(\S+)\s+crypt$/gm))
          if (name !== undefined && name !== place.stateMapping) spawnSync('cryptsetup', ['close', name])
      }
    },
    close() {
      isStopped = false
      disks.closeAll()
      spawnSync('cryptsetup', ['close', place.stateMapping])
      for (const image of images.values()) for (const loop of loopsOf(image)) spawnSync('losetup', ['--detach', loop])
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return disks
}

const loopsOf = (image: string): string[] =>
  (spawnSync('losetup', ['--associated', image, '--noheadings', '--output', 'NAME'], { encoding: 'utf8' }).stdout ?? '')
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)

/** An encrypted state, which is open; the recovery key opens it. */
export function addState(disks: TestDisks): void {
  const device = `/dev/${disks.add(48 * MIB)}`
  execFileSync('cryptsetup', ['luksFormat', '--batch-mode', '--type', 'luks2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', device, '-'], {
    input: RECOVERY_KEY,
  })
  execFileSync('cryptsetup', ['open', '--key-file', '-', device, disks.place.stateMapping], { input: RECOVERY_KEY })
}
