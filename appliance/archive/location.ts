// Where a record lies: which segment of its archive, and which bytes of it.

export type Location = {
  /** Number of the segment, from 1. */
  readonly segment: number
  /** Where the record's header begins, in bytes from the start of the segment. */
  readonly offset: number
  /** The whole record's length, in bytes. */
  readonly length: number
}

/** Disk order: by segment, then by offset. */
export const inDiskOrder = (a: Location, b: Location): number => a.segment - b.segment || a.offset - b.offset

/** Bytes of an archive that hold no intact record although they should, or that a power cut left behind. */
export type Damage = {
  readonly segment: number
  readonly offset: number
  readonly length: number
  /**
   * header: no well-formed header where one should be · digest: the header is intact, the parts are not ·
   * cut: the segment ends inside the record · footer: the list at the end of a sealed segment ·
   * segment: the segment's own header, or the whole file · newer: written by a newer version ·
   * torn: what a power cut left of a write that was never acknowledged: nothing is lost
   */
  readonly reason: 'header' | 'digest' | 'cut' | 'footer' | 'segment' | 'newer' | 'torn'
  /** Hex id of the record, where its header could still be read. */
  readonly id?: string
}
