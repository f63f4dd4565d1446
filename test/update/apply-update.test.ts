import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { applyUpdate, type UpdateTarget } from '../../image/update/apply-update.ts'
import { readPartitions } from '../../image/update/gpt.ts'
import { uuidsOf } from '../../image/update/slots.ts'
import { showFailed, updateStatus } from '../../image/update/status.ts'
import { inPieces, makeRelease, ROOT_PARTITION_BYTES } from './release.ts'
import { makeMachine } from './simulated-machine.ts'

const nobody = (): void => {}
const LINUX = '/esp/EFI/Linux'

test('an update lies whole in the other slot, is the next to be tried, and leaves what runs as it was', async t => {
  const machine = await makeMachine()
  const before = machine.untouched()
  const release = makeRelease(2)
  t.deepEqual(await applyUpdate(inPieces(release.bundle), machine.target, nobody), { version: 2 })
  t.deepEqual(await machine.bootable([machine.installed, release]), [2, 1])
  t.is(machine.untouched(), before)
  const partitions = await readPartitions(machine.target.media, '/disk', machine.target.disk_bytes)
  t.like(partitions[3], { uuid: uuidsOf(release.root_hash).root, label: 'holdfast_2' })
  t.like(partitions[4], { uuid: uuidsOf(release.root_hash).verity, label: 'holdfast_2' })
  t.deepEqual(
    partitions.map(({ label }) => label),
    ['esp', 'holdfast_1', 'holdfast_1', 'holdfast_2', 'holdfast_2', 'state'],
  )
})

test('after an update was kept, the next one goes to the slot that was run before, and its UKI is gone', async t => {
  const machine = await makeMachine()
  const [second, third] = [makeRelease(2), makeRelease(3)]
  await applyUpdate(inPieces(second.bundle), machine.target, nobody)
  await machine.disk.rename(`${LINUX}/holdfast_2+3-0.efi`, `${LINUX}/holdfast_2.efi`)
  await applyUpdate(inPieces(third.bundle), { ...machine.target, version: 2, running: [4, 5], committed: 2 }, nobody)
  t.deepEqual(await machine.bootable([machine.installed, second, third]), [3, 2])
  t.deepEqual((await machine.disk.list(LINUX)).sort(), ['holdfast_2.efi', 'holdfast_3+3-0.efi'])
})

const refusals: [what: string, bundle: () => Buffer, code: string, changes?: Partial<UpdateTarget>][] = [
  ['signed by somebody else', () => makeRelease(2, { key: generateKeyPairSync('ed25519').privateKey }).bundle, 'UPDATE_NOT_SIGNED'],
  ['of the version that runs', () => makeRelease(1).bundle, 'UPDATE_NOT_NEWER'],
  ['older than what runs', () => makeRelease(2).bundle, 'UPDATE_NOT_NEWER', { version: 3 }],
  ['older than what was kept before', () => makeRelease(2).bundle, 'UPDATE_NOT_NEWER', { committed: 2 }],
  ['for another product', () => makeRelease(2, { manifest: { product: 'holdfast/aarch64' } }).bundle, 'UPDATE_OTHER_PRODUCT'],
  ['larger than the slot', () => tooLarge(), 'UPDATE_TOO_LARGE'],
  ['that is nothing of the kind', () => Buffer.from('#!/bin/sh\necho\n'), 'UPDATE_INVALID'],
  ['that is empty', () => Buffer.alloc(0), 'UPDATE_INVALID'],
  ['without an end of its manifest', () => Buffer.alloc(100_000, 0x61), 'UPDATE_INVALID'],
  ['on a disk that has other partitions', () => makeRelease(2).bundle, 'SLOTS_UNKNOWN', { running: [1] }],
  ['whose running UKI is not on the ESP', () => makeRelease(8).bundle, 'SLOTS_UNKNOWN', { version: 7 }],
]

function tooLarge(): Buffer {
  const { artifacts } = makeRelease(2).manifest
  return makeRelease(2, { manifest: { artifacts: { ...artifacts, root: { ...artifacts.root, bytes: ROOT_PARTITION_BYTES + 4096 } } } }).bundle
}

for (const [what, bundle, code, changes] of refusals) {
  test(`a release ${what} is refused before anything is written`, async t => {
    const machine = await makeMachine(changes)
    const before = machine.disk.operations()
    t.like(await t.throwsAsync(applyUpdate(inPieces(bundle()), machine.target, nobody)), { code })
    t.is(machine.disk.operations(), before)
    t.deepEqual(await machine.bootable([machine.installed]), [1])
  })
}

test('while the release that runs is on trial, what it would fall back to is not written over', async t => {
  const machine = await makeMachine()
  const [second, third] = [makeRelease(2), makeRelease(3)]
  await applyUpdate(inPieces(second.bundle), machine.target, nobody)
  await machine.disk.rename(`${LINUX}/holdfast_2+3-0.efi`, `${LINUX}/holdfast_2+2-1.efi`)
  const running = { ...machine.target, version: 2, running: [4, 5] }
  t.like(await t.throwsAsync(applyUpdate(inPieces(third.bundle), running, nobody)), { code: 'UPDATE_ON_TRIAL' })
  t.deepEqual(await machine.bootable([machine.installed, second]), [2, 1])
})

const damages: [what: string, change: (bundle: Buffer) => Buffer, code: string][] = [
  ['breaks off in its root', bundle => bundle.subarray(0, 100_000), 'UPDATE_DAMAGED'],
  ['lacks its last byte', bundle => bundle.subarray(0, -1), 'UPDATE_DAMAGED'],
  ['has a byte too many', bundle => Buffer.concat([bundle, Buffer.from('x')]), 'UPDATE_DAMAGED'],
  ['has another byte in its root', bundle => flipped(bundle, 100_000), 'UPDATE_DAMAGED'],
  ['has another byte in its hashes', bundle => flipped(bundle, 210_000), 'UPDATE_DAMAGED'],
  ['has another byte in its UKI', bundle => flipped(bundle, bundle.length - 5), 'UPDATE_DAMAGED'],
]

function flipped(bundle: Buffer, at: number): Buffer {
  const copy = Buffer.from(bundle)
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at)
  return copy
}

for (const [what, change, code] of damages) {
  test(`an update that ${what} is never tried`, async t => {
    const machine = await makeMachine()
    const before = machine.untouched()
    const release = makeRelease(2)
    t.like(await t.throwsAsync(applyUpdate(inPieces(change(release.bundle)), machine.target, nobody)), { code })
    t.deepEqual(await machine.bootable([machine.installed, release]), [1])
    t.deepEqual(await machine.disk.list(LINUX), ['holdfast_1.efi'])
    t.is(machine.untouched(), before)
    await applyUpdate(inPieces(release.bundle), machine.target, nobody)
    t.deepEqual(await machine.bootable([machine.installed, release]), [2, 1])
  })
}

test('a signed release whose UKI is no program is refused', async t => {
  const machine = await makeMachine()
  const release = makeRelease(2, { uki: Buffer.from('not a program') })
  t.like(await t.throwsAsync(applyUpdate(inPieces(release.bundle), machine.target, nobody)), { code: 'UPDATE_INVALID' })
  t.deepEqual(await machine.disk.list(LINUX), ['holdfast_1.efi'])
})

test('a source that fails ends the update, and the machine starts as before', async t => {
  const machine = await makeMachine()
  const release = makeRelease(2)
  const failing = async function* () {
    yield release.bundle.subarray(0, 150_000)
    throw new Error('the connection is gone')
  }
  t.like(await t.throwsAsync(applyUpdate(failing(), machine.target, nobody)), { code: 'UPDATE_DAMAGED' })
  t.deepEqual(await machine.bootable([machine.installed, release]), [1])
})

test('a disk that fails to flush ends the update, and the machine starts as before', async t => {
  const machine = await makeMachine()
  const release = makeRelease(2)
  machine.disk.failFlush(true)
  t.like(await t.throwsAsync(applyUpdate(inPieces(release.bundle), machine.target, nobody)), { code: 'SLOT_UNWRITABLE' })
  t.deepEqual(await machine.bootable([machine.installed, release]), [1])
})

test('a partition that does not keep what is written is seen before the release could be tried', async t => {
  const machine = await makeMachine()
  const release = makeRelease(2)
  const { media } = machine.target
  const lying: typeof media = {
    ...media,
    open: async (path, mode) => {
      const file = await media.open(path, mode)
      return path === '/p4' ? { ...file, read: async (target, position) => (await file.read(target, position)) && target.fill(7).length } : file
    },
  }
  t.like(await t.throwsAsync(applyUpdate(inPieces(release.bundle), { ...machine.target, media: lying }, nobody)), { code: 'SLOT_UNWRITABLE' })
  t.deepEqual(await machine.bootable([machine.installed, release]), [1])
})

test('the status says what runs, what waits, what failed and what can be gone back to', async t => {
  const machine = await makeMachine()
  const { media } = machine.target
  t.deepEqual(await updateStatus(media, '/esp', 1), { version: 1, is_on_trial: false, waiting: null, failed: null, before: null })
  await applyUpdate(inPieces(makeRelease(2).bundle), machine.target, nobody)
  t.deepEqual(await updateStatus(media, '/esp', 1), { version: 1, is_on_trial: false, waiting: 2, failed: null, before: null })
  await machine.disk.rename(`${LINUX}/holdfast_2+3-0.efi`, `${LINUX}/holdfast_2+2-1.efi`)
  t.deepEqual(await updateStatus(media, '/esp', 2), { version: 2, is_on_trial: true, waiting: null, failed: null, before: 1 })
  await machine.disk.rename(`${LINUX}/holdfast_2+2-1.efi`, `${LINUX}/holdfast_2+0-3.efi`)
  t.deepEqual(await updateStatus(media, '/esp', 1), { version: 1, is_on_trial: false, waiting: null, failed: 2, before: null })
})

test('the screen says of a release that was not kept, until there is none', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-status-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'attention.d/update.json')
  const status = { version: 1, is_on_trial: false, waiting: null, failed: 2, before: null }
  await showFailed(status, 5, path)
  t.deepEqual(JSON.parse(readFileSync(path, 'utf8')), {
    items: [{ code: 'update-not-kept', text: 'release 2 did not do its work and was not kept; release 1 runs', since_ms: 5 }],
  })
  await showFailed({ ...status, failed: null }, 6, path)
  t.false(existsSync(path))
})
