// The same on real block devices: loop devices, where the kernel has them and the test may make some.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { applyUpdate, type UpdateTarget } from '../../image/update/apply-update.ts'
import { readPartitions } from '../../image/update/gpt.ts'
import { machineMedia } from '../../image/update/machine-media.ts'
import { uuidsOf } from '../../image/update/slots.ts'
import { gptBytes, rowsOf } from './gpt-bytes.ts'
import { inPieces, MAKER, makeRelease, ROOT_PARTITION_BYTES, VERITY_PARTITION_BYTES } from './release.ts'

const DISK_BYTES = 2 * 1024 * 1024

function attach(...parameters: string[]): string | undefined {
  try {
    return execFileSync('losetup', ['--find', '--show', ...parameters], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

/** A disk and its partitions as loop devices, and a folder as its ESP; undefined without the right to make them. */
async function makeMachine(t: ExecutionContext): Promise<UpdateTarget | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-loop-'))
  const image = join(folder, 'disk')
  const devices: string[] = []
  t.teardown(() => {
    for (const device of devices) execFileSync('losetup', ['--detach', device])
    rmSync(folder, { recursive: true })
  })
  const installed = makeRelease(1)
  writeFileSync(image, gptBytes(rowsOf(ROOT_PARTITION_BYTES, VERITY_PARTITION_BYTES, uuidsOf(installed.root_hash)), DISK_BYTES))
  truncateSync(image, DISK_BYTES)
  const disk = attach(image)
  if (disk === undefined) return undefined
  devices.push(disk)
  const paths = new Map<number, string>()
  for (const { number, first_byte, bytes } of await readPartitions(machineMedia, disk, DISK_BYTES)) {
    const device = attach(`--offset=${first_byte}`, `--sizelimit=${bytes}`, disk)
    if (device === undefined) return undefined
    devices.unshift(device)
    paths.set(number, device)
  }
  const esp = join(folder, 'esp')
  mkdirSync(join(esp, 'EFI/Linux'), { recursive: true })
  writeFileSync(join(esp, 'EFI/Linux/holdfast_1.efi'), installed.content.uki)
  const partitionPath = (number: number): string => paths.get(number) ?? ''
  return { media: machineMedia, disk, disk_bytes: DISK_BYTES, partitionPath, esp, version: 1, running: [2, 3], committed: 0, key: MAKER.publicKey }
}

test('an update of real block devices lies where another program finds it, past any cache', async t => {
  const target = await makeMachine(t)
  if (!target) return t.log('this machine gives no loop devices to this user')
  const release = makeRelease(2)
  await applyUpdate(inPieces(release.bundle), target, () => {})
  const rows = execFileSync('partx', ['--show', '--noheadings', '--output', 'UUID,NAME,START,SECTORS', target.disk], { encoding: 'utf8' }).trim().split('\n')
  const [uuid, name, start] = (rows[3] ?? '').trim().split(/\s+/)
  t.deepEqual([uuid, name], [uuidsOf(release.root_hash).root, 'holdfast_2'])
  const root = execFileSync('dd', [`if=${target.disk}`, 'iflag=direct', 'bs=512', `skip=${start}`, `count=${release.content.root.length / 512}`, 'status=none'])
  t.true(root.equals(release.content.root))
  t.deepEqual(readdirSync(join(target.esp, 'EFI/Linux')).sort(), ['holdfast_1.efi', 'holdfast_2+3-0.efi'])
  t.true(readFileSync(join(target.esp, 'EFI/Linux/holdfast_2+3-0.efi')).equals(release.content.uki))
})

test('two updates at once, or one of a slot that is in use, are refused by the kernel', async t => {
  const target = await makeMachine(t)
  if (!target) return t.log('this machine gives no loop devices to this user')
  let goOn = (): void => {}
  const waiting = new Promise<void>(resolve => {
    goOn = resolve
  })
  const release = makeRelease(2)
  let begun = (): void => {}
  const hasBegun = new Promise<void>(resolve => {
    begun = resolve
  })
  const slowly = async function* () {
    yield release.bundle.subarray(0, 100_000)
    begun()
    await waiting
    yield release.bundle.subarray(100_000)
  }
  const first = applyUpdate(slowly(), target, () => {})
  await hasBegun
  t.like(await t.throwsAsync(applyUpdate(inPieces(makeRelease(3).bundle), target, () => {})), { code: 'UPDATE_BUSY' })
  goOn()
  t.deepEqual(await first, { version: 2 })
})
