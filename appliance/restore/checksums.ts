// The CRC-32 of each entry of a ZIP, in order: four bytes an entry is all that is kept of it until the archive's directory
// is written at the end.
const CHUNK = 65_536
const CRC_BYTES = 4

export type Checksums = {
  readonly length: number
  get(index: number): number
  /** Sets one that is there, or adds the next. */
  set(index: number, crc: number): void
  /** From an index on, u32 LE each. */
  bytesFrom(index: number): Buffer
}

/** @param known  as bytesFrom() gives them */
export function createChecksums(known: Buffer): Checksums {
  const chunks: Uint32Array[] = []
  let length = 0
  const checksums: Checksums = {
    get length() {
      return length
    },
    get(index) {
      const crc = index < length ? chunks[Math.floor(index / CHUNK)]?.[index % CHUNK] : undefined
      if (crc === undefined) throw new RangeError(`no checksum ${index} of ${length}`)
      return crc
    },
    set(index, crc) {
      if (index > length) throw new RangeError(`checksum ${index} after ${length}`)
      if (index === length && length++ % CHUNK === 0) chunks.push(new Uint32Array(CHUNK))
      ;(chunks[Math.floor(index / CHUNK)] as Uint32Array)[index % CHUNK] = crc
    },
    bytesFrom(index) {
      const bytes = Buffer.alloc(Math.max(0, length - index) * CRC_BYTES)
      for (let i = index; i < length; i++) bytes.writeUInt32LE(checksums.get(i), (i - index) * CRC_BYTES)
      return bytes
    },
  }
  for (let at = 0; at + CRC_BYTES <= known.length; at += CRC_BYTES) checksums.set(length, known.readUInt32LE(at))
  return checksums
}
