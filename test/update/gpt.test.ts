import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readPartitions, renamePartitions } from '../../image/update/gpt.ts'
import { machineMedia } from '../../image/update/machine-media.ts'
import { DISK_BYTES, gptBytes, rowsOf, SECTOR_BYTES } from './gpt-bytes.ts'

const ROWS = rowsOf(256 * 1024, 16 * 1024, { root: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeee02', verity: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeee03' })
const RENAMING = { number: 4, uuid: '01234567-89ab-cdef-0123-456789abcdef', label: 'holdfast_2' }
const LAST_BYTE = DISK_BYTES - SECTOR_BYTES

function diskOf(t: ExecutionContext, content = gptBytes(ROWS)): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-gpt-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const disk = join(folder, 'disk')
  writeFileSync(disk, content)
  return disk
}

const damaged = (at: number): Buffer => {
  const disk = gptBytes(ROWS)
  disk.fill(0x55, at, at + 40)
  return disk
}

test('partitions are read as they were made', async t => {
  const partitions = await readPartitions(machineMedia, diskOf(t), DISK_BYTES)
  t.deepEqual(
    partitions.map(({ type, uuid, label, bytes }) => ({ type, uuid, label, bytes })),
    ROWS,
  )
})

test('another program sees a partition renamed, finds both copies of the table right, and everything else as it was', async t => {
  const disk = diskOf(t)
  const seen = (): string[] =>
    execFileSync('partx', ['--noheadings', '--raw', '--output', 'NR,START,END,UUID,NAME,TYPE', disk], { encoding: 'utf8' }).trim().split('\n')
  const before = seen()
  await renamePartitions(machineMedia, disk, DISK_BYTES, [RENAMING])
  const after = seen()
  t.is(after[3], (before[3] ?? '').replace('11111111-2222-4333-8444-555555555504', RENAMING.uuid).replace('_empty', 'holdfast_2'))
  t.deepEqual(after.toSpliced(3, 1), before.toSpliced(3, 1))
  // Of the second copy alone.
  const bytes = readFileSync(disk)
  writeFileSync(disk, bytes.fill(0, SECTOR_BYTES, 2 * SECTOR_BYTES))
  t.deepEqual(seen(), after)
})

for (const [what, at] of [
  ['header of the first copy', SECTOR_BYTES + 20],
  ['entries of the first copy', 3 * SECTOR_BYTES],
  ['header of the second copy', LAST_BYTE + 20],
  ['entries of the second copy', LAST_BYTE - 20 * SECTOR_BYTES],
] as const) {
  test(`a table with a torn ${what} is read, and whole again after it was written`, async t => {
    const disk = diskOf(t, damaged(at))
    t.is((await readPartitions(machineMedia, disk, DISK_BYTES)).length, ROWS.length)
    await renamePartitions(machineMedia, disk, DISK_BYTES, [RENAMING])
    const expected = diskOf(t)
    await renamePartitions(machineMedia, expected, DISK_BYTES, [RENAMING])
    t.true(readFileSync(disk).equals(readFileSync(expected)))
  })
}

test('a disk without a table is refused, and not written', async t => {
  const disk = diskOf(t, Buffer.alloc(DISK_BYTES))
  t.like(await t.throwsAsync(renamePartitions(machineMedia, disk, DISK_BYTES, [RENAMING])), { code: 'SLOTS_UNKNOWN' })
  t.true(readFileSync(disk).every(byte => byte === 0))
})
