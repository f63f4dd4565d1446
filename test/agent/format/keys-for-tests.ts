// Keys that are the same in every run: those of the vectors and of FORMAT.md's worked bytes.
import { type ArchiveKeys, deriveArchiveKeys, keyRingOf } from '#format/keys.ts'

export const ARCHIVE = '00112233445566778899aabbccddeeff'
export const OTHER_ARCHIVE = '00112233445566778899aabbccddeefe'

/** Key of epoch 1: 00 01 … 1f; of epoch 2: 20 21 … 3f. */
export const testRing = (epochs = 2) =>
  keyRingOf(Array.from({ length: epochs }, (_, at) => ({ epoch: at + 1, key: Buffer.from(Array.from({ length: 32 }, (_, i) => (at * 32 + i) & 255)) })))

export const testKeys = (archive = ARCHIVE): ArchiveKeys => deriveArchiveKeys(testRing(), archive)
