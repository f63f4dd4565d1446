// The headers of a ZIP archive (APPNOTE 6.3), as bytes: stored, with ZIP64 where it is needed, unix modes, owners and times.
// Encoded here, because the libraries keep every entry in memory until the end, make names out of text (a name is bytes),
// and cannot leave out what a resumed download has already. Content is stored, not deflated: so the length of everything is
// known before it is read, and an archive is sent three times as fast.
import { TYPE } from '#format/page.ts'
import { isSmall } from './file-content.ts'
import { type FileEntry, typeOf } from './parts.ts'
import { isUtf8 } from './tar.ts'

const LOCAL = 0x04034b50
const DESCRIPTOR = 0x08074b50
const CENTRAL = 0x02014b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
const END = 0x06054b50
const EXTRA_ZIP64 = 0x0001
const EXTRA_TIME = 0x5455
const EXTRA_OWNER = 0x7875
const FLAG_DESCRIPTOR = 0x0008
const FLAG_UTF8 = 0x0800
const VERSION_PLAIN = 20
const VERSION_ZIP64 = 45
/** Made by unix: external attributes have a mode, and names that are not flagged are the bytes of a file name. */
const MADE_BY_UNIX = 3 << 8
const U16_MAX = 0xffff
const U32_MAX = 0xffffffff
const MS_DOS_DIRECTORY = 0x10
const NS_PER_S = 1_000_000_000n

/** How one entry stands in a ZIP archive. */
export type ZipEntry = {
  readonly entry: FileEntry
  readonly name: Buffer
  /** Of its content, holes included. */
  readonly size: number
  /** The content of a symbolic link. */
  readonly target: Buffer | undefined
  /** Its checksum is known only when it was sent: a descriptor follows. */
  readonly isStreamed: boolean
  /** Header, content and descriptor. */
  readonly local_bytes: number
}

/** How an entry stands in the archive; undefined for what a ZIP has no place for. */
export function zipEntry(entry: FileEntry): ZipEntry | undefined {
  const type = typeOf(entry)
  if (type !== TYPE.file && type !== TYPE.directory && type !== TYPE.symlink) return undefined
  const name = Buffer.from(type === TYPE.directory ? `${entry.path}/` : entry.path, 'latin1')
  const target = type === TYPE.symlink ? Buffer.from(entry.target ?? '', 'latin1') : undefined
  const size = target?.length ?? (type === TYPE.file ? entry.size : 0)
  const isStreamed = type === TYPE.file && size > 0 && !isSmall(entry, true)
  const zip = { entry, name, size, target, isStreamed, local_bytes: 0 }
  return { ...zip, local_bytes: localHeaderBytes(zip) + size + descriptorBytes(zip) }
}

const isLong = (zip: ZipEntry): boolean => zip.size >= U32_MAX
const time_s = ({ entry }: ZipEntry): number => Number(BigInt.asIntN(64, entry.mtime_ns) / NS_PER_S) - (entry.mtime_ns % NS_PER_S < 0n ? 1 : 0)
const hasTime = (zip: ZipEntry): boolean => time_s(zip) === (time_s(zip) | 0)

const timeBytes = (zip: ZipEntry): number => (hasTime(zip) ? 9 : 0)
const OWNER_BYTES = 15

export const localHeaderBytes = (zip: ZipEntry): number => 30 + zip.name.length + (isLong(zip) ? 20 : 0) + timeBytes(zip) + OWNER_BYTES
export const descriptorBytes = (zip: ZipEntry): number => (zip.isStreamed ? (isLong(zip) ? 24 : 16) : 0)
export const centralHeaderBytes = (zip: ZipEntry, offset: number): number =>
  46 + zip.name.length + central64(zip, offset).length * 8 + (central64(zip, offset).length > 0 ? 4 : 0) + timeBytes(zip) + OWNER_BYTES

/** What does not fit into the 32 bits of a central header, in the agreed order. */
const central64 = (zip: ZipEntry, offset: number): number[] => [...(isLong(zip) ? [zip.size, zip.size] : []), ...(offset >= U32_MAX ? [offset] : [])]

/** @param crc  of the content; any, for a streamed entry */
export function localHeader(zip: ZipEntry, crc: number): Buffer {
  const writer = startBytes(localHeaderBytes(zip))
  const size = isLong(zip) ? U32_MAX : zip.isStreamed ? 0 : zip.size
  writer.u32(LOCAL)
  writeFacts(writer, zip, isLong(zip) ? VERSION_ZIP64 : VERSION_PLAIN, zip.isStreamed ? 0 : crc, size)
  writer.u16(localHeaderBytes(zip) - 30 - zip.name.length)
  writer.raw(zip.name)
  if (isLong(zip)) {
    writer.u16(EXTRA_ZIP64)
    writer.u16(16)
    writer.u64(zip.isStreamed ? 0 : zip.size)
    writer.u64(zip.isStreamed ? 0 : zip.size)
  }
  writeTimeAndOwner(writer, zip)
  return writer.bytes
}

/** What follows the content of a streamed entry. */
export function descriptor(zip: ZipEntry, crc: number): Buffer {
  const writer = startBytes(descriptorBytes(zip))
  const size = isLong(zip) ? writer.u64 : writer.u32
  writer.u32(DESCRIPTOR)
  writer.u32(crc)
  size(zip.size)
  size(zip.size)
  return writer.bytes
}

/** @param offset  of the entry's local header */
export function centralHeader(zip: ZipEntry, offset: number, crc: number): Buffer {
  const writer = startBytes(centralHeaderBytes(zip, offset))
  const long = central64(zip, offset)
  const version = long.length > 0 ? VERSION_ZIP64 : VERSION_PLAIN
  writer.u32(CENTRAL)
  writer.u16(MADE_BY_UNIX | version)
  writeFacts(writer, zip, version, crc, Math.min(zip.size, U32_MAX))
  writer.u16(centralHeaderBytes(zip, offset) - 46 - zip.name.length)
  // No comment, first disk, no internal attributes.
  for (let i = 0; i < 3; i++) writer.u16(0)
  writer.u32(((zip.entry.mode & U16_MAX) * 2 ** 16 + (typeOf(zip.entry) === TYPE.directory ? MS_DOS_DIRECTORY : 0)) >>> 0)
  writer.u32(Math.min(offset, U32_MAX))
  writer.raw(zip.name)
  if (long.length > 0) {
    writer.u16(EXTRA_ZIP64)
    writer.u16(long.length * 8)
    for (const value of long) writer.u64(value)
  }
  writeTimeAndOwner(writer, zip)
  return writer.bytes
}

/** The end of the archive: without it, it is incomplete. */
export function zipEnd(entries: number, directory_bytes: number, directory_offset: number): Buffer {
  const isZip64 = entries >= U16_MAX || directory_bytes >= U32_MAX || directory_offset >= U32_MAX
  const writer = startBytes((isZip64 ? 76 : 0) + 22)
  if (isZip64) {
    writer.u32(END64)
    writer.u64(44)
    writer.u16(MADE_BY_UNIX | VERSION_ZIP64)
    writer.u16(VERSION_ZIP64)
    writer.u32(0)
    writer.u32(0)
    writer.u64(entries)
    writer.u64(entries)
    writer.u64(directory_bytes)
    writer.u64(directory_offset)
    writer.u32(LOCATOR64)
    writer.u32(0)
    writer.u64(directory_offset + directory_bytes)
    writer.u32(1)
  }
  writer.u32(END)
  writer.u16(0)
  writer.u16(0)
  writer.u16(Math.min(entries, U16_MAX))
  writer.u16(Math.min(entries, U16_MAX))
  writer.u32(Math.min(directory_bytes, U32_MAX))
  writer.u32(Math.min(directory_offset, U32_MAX))
  writer.u16(0)
  return writer.bytes
}

type Writer = ReturnType<typeof startBytes>

/** What local and central header share, from the needed version to the length of the name. */
function writeFacts(writer: Writer, zip: ZipEntry, version: number, crc: number, size: number): void {
  const text = zip.name.toString('latin1')
  const isUnicode = /[\x80-\xff]/.test(text) && isUtf8(text)
  const { date, time } = dosTime(time_s(zip))
  writer.u16(version)
  writer.u16((isUnicode ? FLAG_UTF8 : 0) | (zip.isStreamed ? FLAG_DESCRIPTOR : 0))
  // Stored.
  writer.u16(0)
  writer.u16(time)
  writer.u16(date)
  writer.u32(crc)
  writer.u32(size)
  writer.u32(size)
  writer.u16(zip.name.length)
}

function writeTimeAndOwner(writer: Writer, zip: ZipEntry): void {
  if (hasTime(zip)) {
    writer.u16(EXTRA_TIME)
    writer.u16(5)
    writer.u8(1)
    writer.u32(time_s(zip) >>> 0)
  }
  writer.u16(EXTRA_OWNER)
  writer.u16(11)
  writer.u8(1)
  for (const id of [zip.entry.uid, zip.entry.gid]) {
    writer.u8(4)
    writer.u32(id)
  }
}

/** Two seconds exact, from 1980 to 2107, in UTC: who reads it has a better time beside it. */
function dosTime(seconds: number): { date: number; time: number } {
  const at = new Date(Math.min(Math.max(seconds, Date.UTC(1980, 0, 1) / 1000), Date.UTC(2107, 11, 31, 23, 59, 58) / 1000) * 1000)
  return {
    date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
  }
}

function startBytes(length: number) {
  const bytes = Buffer.alloc(length)
  let at = 0
  return {
    bytes,
    u8: (value: number): void => void (at = bytes.writeUInt8(value, at)),
    u16: (value: number): void => void (at = bytes.writeUInt16LE(value, at)),
    u32: (value: number): void => void (at = bytes.writeUInt32LE(value, at)),
    u64: (value: number): void => void (at = bytes.writeBigUInt64LE(BigInt(value), at)),
    raw: (piece: Buffer): void => void (at += piece.copy(bytes, at)),
  }
}
