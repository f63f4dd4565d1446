// A partition table as an installer writes it, for tests.
import { crc32 } from 'node:zlib'
import { ROOT_TYPE, VERITY_TYPE } from '../../image/update/slots.ts'

export const SECTOR_BYTES = 512
export const DISK_BYTES = 1024 * 1024
const ENTRIES = 128
const ENTRY_BYTES = 128
export const ESP_TYPE = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
const LINUX_TYPE = '0fc63daf-8483-4772-8e79-3d69d8477de4'

export type Row = { readonly type: string; readonly uuid: string; readonly label: string; readonly bytes: number }

/** The layout of an appliance. */
export const rowsOf = (root_bytes: number, verity_bytes: number, running: { root: string; verity: string }): Row[] => [
  { type: ESP_TYPE, uuid: '11111111-2222-4333-8444-555555555501', label: 'esp', bytes: 64 * 1024 },
  { type: ROOT_TYPE, uuid: running.root, label: 'holdfast_1', bytes: root_bytes },
  { type: VERITY_TYPE, uuid: running.verity, label: 'holdfast_1', bytes: verity_bytes },
  { type: ROOT_TYPE, uuid: '11111111-2222-4333-8444-555555555504', label: '_empty', bytes: root_bytes },
  { type: VERITY_TYPE, uuid: '11111111-2222-4333-8444-555555555505', label: '_empty', bytes: verity_bytes },
  { type: LINUX_TYPE, uuid: '11111111-2222-4333-8444-555555555506', label: 'state', bytes: 64 * 1024 },
]

export function gptBytes(rows: readonly Row[], disk_bytes = DISK_BYTES): Buffer {
  const disk = Buffer.alloc(disk_bytes)
  const last = disk_bytes / SECTOR_BYTES - 1
  // The protective MBR, without which nobody looks for a GPT.
  disk.set([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0], 446)
  disk.writeUInt32LE(last, 458)
  disk.set([0x55, 0xaa], 510)
  const entries = Buffer.alloc(ENTRIES * ENTRY_BYTES)
  let sector = 64
  rows.forEach(({ type, uuid, label, bytes }, at) => {
    const entry = entries.subarray(at * ENTRY_BYTES, (at + 1) * ENTRY_BYTES)
    guid(type).copy(entry, 0)
    guid(uuid).copy(entry, 16)
    entry.writeBigUInt64LE(BigInt(sector), 32)
    entry.writeBigUInt64LE(BigInt(sector + bytes / SECTOR_BYTES - 1), 40)
    entry.write(label, 56, 'utf16le')
    sector += bytes / SECTOR_BYTES
  })
  for (const [own, other, at] of [
    [1, last, 2],
    [last, 1, last - entries.length / SECTOR_BYTES],
  ] as const) {
    const header = Buffer.alloc(SECTOR_BYTES)
    header.write('EFI PART', 0, 'latin1')
    header.writeUInt32LE(0x00010000, 8)
    header.writeUInt32LE(92, 12)
    header.writeBigUInt64LE(BigInt(own), 24)
    header.writeBigUInt64LE(BigInt(other), 32)
    header.writeBigUInt64LE(34n, 40)
    header.writeBigUInt64LE(BigInt(last - 33), 48)
    guid('11111111-2222-4333-8444-555555555500').copy(header, 56)
    header.writeBigUInt64LE(BigInt(at), 72)
    header.writeUInt32LE(ENTRIES, 80)
    header.writeUInt32LE(ENTRY_BYTES, 84)
    header.writeUInt32LE(crc32(entries), 88)
    header.writeUInt32LE(crc32(header.subarray(0, 92)), 16)
    entries.copy(disk, at * SECTOR_BYTES)
    header.copy(disk, own * SECTOR_BYTES)
  }
  return disk
}

function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}
