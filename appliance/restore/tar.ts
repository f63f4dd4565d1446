// The headers of a tar archive in the pax interchange format (POSIX.1-2001), as bytes. Encoded here, because the libraries
// make names out of text (a name is bytes), cut times to seconds, know no sparse files, and cannot say how long what they
// would write is without writing it. Names and paths are byte strings; what is not UTF-8 stands as it is, like GNU tar does it.
import { TYPE } from '#format/page.ts'
import { dataRegions } from '#restore/regions.ts'
import { type FileEntry, isFile, typeOf } from './parts.ts'

const BLOCK_BYTES = 512
const NAME_BYTES_MAX = 100
const OWNER_BYTES_MAX = 31
/** What seven and eleven octal digits can say. */
const ID_MAX = 0o7777777
const SIZE_MAX = 0o77777777777
const NS_PER_S = 1_000_000_000n

/** Two blocks of zeros end an archive: without them it is incomplete. */
export const TAR_END = Buffer.alloc(2 * BLOCK_BYTES)

const TYPE_FLAGS: Readonly<Record<number, string>> = {
  [TYPE.file]: '0',
  [TYPE.symlink]: '2',
  [TYPE.character]: '3',
  [TYPE.block]: '4',
  [TYPE.directory]: '5',
  [TYPE.fifo]: '6',
}
const LINK_FLAG = '1'
const PAX_FLAG = 'x'
/** The name of a header that readers of pax never show. */
const PAX_NAME = 'PaxHeaders/entry'
const SPARSE_NAME = 'GNUSparseFile.0/entry'

export type TarEntry = {
  /** Header, content and padding. */
  readonly bytes: number
  /** Behind the content. */
  readonly padding_bytes: number
  /** All that comes before the content: pax header, header, map of a sparse file. */
  header(): Buffer
}

/** How one entry stands in a tar archive. Files with holes are sparse (GNU format 1.0): only their data is there. */
export function tarEntry(entry: FileEntry): TarEntry {
  const isContent = isFile(entry) && entry.linkTo === undefined
  const map = isContent && entry.holes ? sparseMap(entry) : ''
  const content_bytes = isContent ? entry.stored_bytes : 0
  const records = paxRecords(entry, map === '' ? undefined : padded(map.length) + content_bytes, content_bytes)
  const pax_bytes = records === '' ? 0 : BLOCK_BYTES + padded(records.length)
  const map_bytes = padded(map.length)
  return {
    bytes: pax_bytes + BLOCK_BYTES + map_bytes + padded(content_bytes),
    padding_bytes: padded(content_bytes) - content_bytes,
    header() {
      const bytes = Buffer.alloc(pax_bytes + BLOCK_BYTES + map_bytes)
      if (records !== '') {
        writeBlock(bytes, 0, { name: PAX_NAME, mode: 0o644, size: records.length, flag: PAX_FLAG })
        bytes.write(records, BLOCK_BYTES, 'latin1')
      }
      const { uid, gid, user = '', group = '', mode, target = '', rdev } = entry
      const mtime_s = entry.mtime_ns / NS_PER_S
      writeBlock(bytes, pax_bytes, {
        name: map === '' ? nameOf(entry) : SPARSE_NAME,
        mode,
        uid: uid > ID_MAX ? 0 : uid,
        gid: gid > ID_MAX ? 0 : gid,
        size: map_bytes + content_bytes,
        mtime: entry.mtime_ns < 0n || mtime_s > BigInt(SIZE_MAX) ? 0 : Number(mtime_s),
        flag: entry.linkTo === undefined ? (TYPE_FLAGS[typeOf(entry)] as string) : LINK_FLAG,
        target: entry.linkTo ?? target,
        user,
        group,
        rdev,
      })
      bytes.write(map, pax_bytes + BLOCK_BYTES, 'latin1')
      return bytes
    },
  }
}

const padded = (bytes: number): number => Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
const nameOf = (entry: FileEntry): string => (typeOf(entry) === TYPE.directory ? `${entry.path}/` : entry.path)

/** What does not fit into a header, or only there without doubt. */
function paxRecords(entry: FileEntry, sparse_bytes: number | undefined, content_bytes: number): string {
  const { uid, gid, user = '', group = '', linkTo, target = '', xattrs, mtime_ns } = entry
  const name = nameOf(entry)
  const link = linkTo ?? target
  let records = ''
  if (sparse_bytes === undefined) {
    if (isRecord(name, NAME_BYTES_MAX)) records += paxRecord('path', name)
    // Sparse files say it in their header only: some readers would take the size of the file for that of its data.
    if (content_bytes > SIZE_MAX) records += paxRecord('size', `${content_bytes}`)
  } else {
    records += paxRecord('GNU.sparse.major', '1') + paxRecord('GNU.sparse.minor', '0')
    records += paxRecord('GNU.sparse.name', name) + paxRecord('GNU.sparse.realsize', `${entry.size}`)
  }
  if (isRecord(link, NAME_BYTES_MAX)) records += paxRecord('linkpath', link)
  if (mtime_ns % NS_PER_S !== 0n || mtime_ns < 0n || mtime_ns / NS_PER_S > BigInt(SIZE_MAX)) records += paxRecord('mtime', paxTime(mtime_ns))
  if (uid > ID_MAX) records += paxRecord('uid', `${uid}`)
  if (gid > ID_MAX) records += paxRecord('gid', `${gid}`)
  if (isRecord(user, OWNER_BYTES_MAX)) records += paxRecord('uname', user)
  if (isRecord(group, OWNER_BYTES_MAX)) records += paxRecord('gname', group)
  if (linkTo === undefined) {
    for (const [key, value] of xattrs ?? []) records += paxRecord(`SCHILY.xattr.${keyword(key)}`, value.toString('latin1'))
  }
  return records
}

/** Too long for its field, or UTF-8, which a header does not say of its bytes. */
const isRecord = (text: string, bytes_max: number): boolean => text.length > bytes_max || (/[\x80-\xff]/.test(text) && isUtf8(text))

/** Whether the bytes of a byte string are UTF-8. */
export const isUtf8 = (text: string): boolean => {
  const bytes = Buffer.from(text, 'latin1')
  return Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes)
}

/** `=` ends a keyword: GNU tar writes it like this, and reads it back. */
const keyword = (name: string): string => name.replaceAll('%', '%25').replaceAll('=', '%3D')

/** A record says its own length, its digits included. */
function paxRecord(key: string, value: string): string {
  const rest = key.length + value.length + 3
  let length = rest + `${rest}`.length
  length = rest + `${length}`.length
  return `${length} ${key}=${value}\n`
}

function paxTime(ns: bigint): string {
  const positive = ns < 0n ? -ns : ns
  return `${ns < 0n ? '-' : ''}${positive / NS_PER_S}.${`${positive % NS_PER_S}`.padStart(9, '0')}`
}

/** How many runs of data, then offset and length of each; an empty run at the end says how long the file is. */
function sparseMap({ holes, size }: FileEntry): string {
  const runs = dataRegions(holes, size).map(({ file, length }) => [file, Math.min(length, size - file)] as const)
  const [last = 0, length = 0] = runs.at(-1) ?? []
  if (last + length < size) runs.push([size, 0])
  return `${runs.length}\n${runs.map(([offset, bytes]) => `${offset}\n${bytes}\n`).join('')}`
}

type Block = {
  readonly name: string
  readonly mode: number
  readonly uid?: number
  readonly gid?: number
  readonly size: number
  readonly mtime?: number
  readonly flag: string
  readonly target?: string
  readonly user?: string
  readonly group?: string
  readonly rdev?: readonly [number, number] | undefined
}

function writeBlock(bytes: Buffer, at: number, block: Block): void {
  const text = (value: string, offset: number, length: number): void => {
    bytes.write(value.slice(0, length), at + offset, 'latin1')
  }
  text(block.name, 0, NAME_BYTES_MAX)
  writeNumber(bytes, at + 100, 8, block.mode & 0o7777)
  writeNumber(bytes, at + 108, 8, block.uid ?? 0)
  writeNumber(bytes, at + 116, 8, block.gid ?? 0)
  writeNumber(bytes, at + 124, 12, block.size)
  writeNumber(bytes, at + 136, 12, block.mtime ?? 0)
  bytes.fill(' ', at + 148, at + 156)
  text(block.flag, 156, 1)
  text(block.target ?? '', 157, NAME_BYTES_MAX)
  text('ustar\x0000', 257, 8)
  text(block.user ?? '', 265, OWNER_BYTES_MAX)
  text(block.group ?? '', 297, OWNER_BYTES_MAX)
  writeNumber(bytes, at + 329, 8, block.rdev?.[0] ?? 0)
  writeNumber(bytes, at + 337, 8, block.rdev?.[1] ?? 0)
  let sum = 0
  for (let i = at; i < at + BLOCK_BYTES; i++) sum += bytes[i] as number
  text(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8)
}

/** Octal digits and a NUL; what has more digits as GNU tar does it: a set high bit, then the number in bytes. */
function writeNumber(bytes: Buffer, at: number, length: number, value: number): void {
  const digits = value.toString(8)
  if (digits.length < length) {
    bytes.write(`${digits.padStart(length - 1, '0')}\0`, at, 'latin1')
    return
  }
  bytes.writeBigUInt64BE(BigInt(value), at + length - 8)
  bytes[at] = (bytes[at] as number) | 0x80
}
