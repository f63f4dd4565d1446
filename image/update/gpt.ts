// The partition table of a disk (GPT, UEFI 2.10, 5.3): names and UUIDs of partitions are changed in place. Invariant:
//   at every moment, with any part of what was not synced on the disk or not, one of the two copies is whole, because the
//   copy that was read as whole is touched only after the other one was written and synced.
import { crc32 } from 'node:zlib'
import { fault } from './errors.ts'
import { alignedBuffer, BLOCK_BYTES, type Media, type MediaFile } from './media.ts'

const SIGNATURE = 'EFI PART'
const SECTOR_BYTES = [512, 4096] as const
const HEADER_BYTES_MIN = 92
/** Far more than any table has; bounds what is read. */
const ENTRIES_BYTES_MAX = 1024 * 128
const ENTRY_BYTES_MIN = 128
const LABEL_BYTES = 72

/** Offsets in the header. */
const AT = { header_bytes: 12, header_crc: 16, own: 24, other: 32, entries: 72, count: 80, entry_bytes: 84, entries_crc: 88 } as const

export type Partition = {
  /** From 1, as in the name of its device. */
  readonly number: number
  readonly type: string
  readonly uuid: string
  readonly label: string
  readonly first_byte: number
  readonly bytes: number
}

type Table = { readonly sector_bytes: number; readonly header: Buffer; readonly entries: Buffer }

/** The partitions of a disk. @throws SLOTS_UNKNOWN if neither copy of its table is whole */
export async function readPartitions(media: Media, disk: string, disk_bytes: number): Promise<Partition[]> {
  const file = await media.open(disk, 'read')
  try {
    return partitionsOf(await readTable(file, disk_bytes))
  } finally {
    await file.close()
  }
}

export type Renaming = { readonly number: number; readonly uuid: string; readonly label: string }

/**
 * Gives partitions UUIDs and labels; durable when it returns. All else in the table stays as it is.
 *
 * @throws SLOTS_UNKNOWN if neither copy of the table is whole
 */
export async function renamePartitions(media: Media, disk: string, disk_bytes: number, renamings: readonly Renaming[]): Promise<void> {
  const file = await media.open(disk, 'append')
  try {
    const table = await readTable(file, disk_bytes)
    const entries = Buffer.from(table.entries)
    const entry_bytes = table.header.readUInt32LE(AT.entry_bytes)
    for (const { number, uuid, label } of renamings) {
      const entry = entries.subarray((number - 1) * entry_bytes, number * entry_bytes)
      guidBytes(uuid).copy(entry, 16)
      entry.fill(0, 56, 56 + LABEL_BYTES).write(label, 56, LABEL_BYTES, 'utf16le')
    }
    const last = disk_bytes / table.sector_bytes - 1
    const entriesSectors = Math.ceil(entries.length / table.sector_bytes)
    const isFirst = table.header.readBigUInt64LE(AT.own) === 1n
    const first = { own: 1, other: last, entries: isFirst ? Number(table.header.readBigUInt64LE(AT.entries)) : 2 }
    const second = { own: last, other: 1, entries: last - entriesSectors }
    for (const place of isFirst ? [second, first] : [first, second]) await writeCopy(file, table, entries, place)
  } finally {
    await file.close()
  }
}

type Place = { readonly own: number; readonly other: number; readonly entries: number }

async function writeCopy(file: MediaFile, { sector_bytes, header }: Table, entries: Buffer, place: Place): Promise<void> {
  const own = Buffer.from(header)
  own.writeBigUInt64LE(BigInt(place.own), AT.own)
  own.writeBigUInt64LE(BigInt(place.other), AT.other)
  own.writeBigUInt64LE(BigInt(place.entries), AT.entries)
  own.writeUInt32LE(crc32(entries), AT.entries_crc)
  own.writeUInt32LE(headerCrc(own), AT.header_crc)
  await file.write([entries], place.entries * sector_bytes)
  await file.write([own], place.own * sector_bytes)
  await file.datasync()
}

/** The first copy if it is whole, else the second. */
async function readTable(file: MediaFile, disk_bytes: number): Promise<Table> {
  for (const isFirst of [true, false]) {
    for (const sector_bytes of SECTOR_BYTES) {
      const table = await readCopy(file, sector_bytes, isFirst ? 1 : disk_bytes / sector_bytes - 1)
      if (table) return table
    }
  }
  throw fault('SLOTS_UNKNOWN', { expected: 'a GPT partition table', found: 'none that is whole' })
}

async function readCopy(file: MediaFile, sector_bytes: number, sector: number): Promise<Table | undefined> {
  const header = await readAt(file, sector * sector_bytes, sector_bytes)
  if (header?.toString('latin1', 0, 8) !== SIGNATURE) return undefined
  const header_bytes = header.readUInt32LE(AT.header_bytes)
  if (header_bytes < HEADER_BYTES_MIN || header_bytes > sector_bytes || header.readUInt32LE(AT.header_crc) !== headerCrc(header)) return undefined
  const entry_bytes = header.readUInt32LE(AT.entry_bytes)
  const bytes = header.readUInt32LE(AT.count) * entry_bytes
  if (header.readBigUInt64LE(AT.own) !== BigInt(sector) || entry_bytes < ENTRY_BYTES_MIN || bytes === 0 || bytes > ENTRIES_BYTES_MAX) return undefined
  const entries = await readAt(file, Number(header.readBigUInt64LE(AT.entries)) * sector_bytes, bytes)
  return entries && crc32(entries) === header.readUInt32LE(AT.entries_crc) ? { sector_bytes, header, entries } : undefined
}

/** So many bytes, or undefined if there are fewer. */
async function readAt(file: MediaFile, position: number, bytes: number): Promise<Buffer | undefined> {
  const begin = position - (position % BLOCK_BYTES)
  const wanted = Math.ceil((position + bytes - begin) / BLOCK_BYTES) * BLOCK_BYTES
  const target = alignedBuffer().subarray(0, wanted)
  const read_bytes = await file.read(target, begin)
  return begin + read_bytes < position + bytes ? undefined : target.subarray(position - begin, position - begin + bytes)
}

function headerCrc(header: Buffer): number {
  const bare = Buffer.from(header.subarray(0, header.readUInt32LE(AT.header_bytes)))
  bare.writeUInt32LE(0, AT.header_crc)
  return crc32(bare)
}

function partitionsOf({ sector_bytes, header, entries }: Table): Partition[] {
  const entry_bytes = header.readUInt32LE(AT.entry_bytes)
  const found: Partition[] = []
  for (let number = 1; number * entry_bytes <= entries.length; number++) {
    const entry = entries.subarray((number - 1) * entry_bytes, number * entry_bytes)
    if (entry.subarray(0, 16).every(byte => byte === 0)) continue
    const first = Number(entry.readBigUInt64LE(32))
    const last = Number(entry.readBigUInt64LE(40))
    found.push({
      number,
      type: guidText(entry.subarray(0, 16)),
      uuid: guidText(entry.subarray(16, 32)),
      label: entry.toString('utf16le', 56, 56 + LABEL_BYTES).replace(/\0.*$/s, ''),
      first_byte: first * sector_bytes,
      bytes: (last - first + 1) * sector_bytes,
    })
  }
  return found
}

/** A GUID has its first three numbers with the low byte first. */
function guidText(bytes: Buffer): string {
  const hex = swapped(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

const guidBytes = (text: string): Buffer => swapped(Buffer.from(text.replaceAll('-', ''), 'hex'))

function swapped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy.subarray(0, 4).swap32()
  copy.subarray(4, 6).swap16()
  copy.subarray(6, 8).swap16()
  return copy
}
