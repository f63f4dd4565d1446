// The UKIs on the ESP, as systemd-boot sees them: holdfast_VERSION.efi is kept, holdfast_VERSION+LEFT-DONE.efi is on trial
// and has so many tries left. Invariants:
//   a UKI is a program to the firmware only from the moment on that its content is durable: its first two bytes, by which
//   that is told, are written last and alone;
//   no UKI of the release that runs is touched.
// Nothing is renamed here: a torn renaming on FAT leaves two names for the same content, and removing one ruins the other.
import { join } from 'node:path'
import { fault } from './errors.ts'
import { type Media, type MediaFile, PIECE_BYTES } from './media.ts'

const FOLDER = 'EFI/Linux'
const TRIES = 3
const ENTRY = /^holdfast_(\d{1,9})(?:\+(\d{1,9})(?:-(\d{1,9}))?)?\.efi$/i
/** Every program for UEFI begins with this. */
const MAGIC = Buffer.from('MZ')

export type BootEntry = {
  readonly name: string
  readonly version: number
  /** Undefined when the release is kept. */
  readonly tries_left: number | undefined
}

/** The UKIs on an ESP; what else lies there is left out. */
export async function readEntries(media: Media, esp: string): Promise<BootEntry[]> {
  return (await media.list(join(esp, FOLDER))).flatMap(name => {
    const found = ENTRY.exec(name)
    return found ? [{ name, version: Number(found[1]), tries_left: found[2] === undefined ? undefined : Number(found[2]) }] : []
  })
}

/** Removes every program that systemd-boot would list, but those of one version; durable when it returns. */
export async function removeOtherEntries(media: Media, esp: string, version: number): Promise<void> {
  const folder = join(esp, FOLDER)
  const kept = new Set((await readEntries(media, esp)).filter(entry => entry.version === version).map(entry => entry.name))
  for (const name of await media.list(folder)) if (/\.efi$/i.test(name) && !kept.has(name)) await media.remove(join(folder, name))
  await media.syncDirectory(folder)
}

/** Where the UKI of a release on trial lies. */
export const trialPathOf = (esp: string, version: number): string => join(esp, FOLDER, `holdfast_${version}+${TRIES}-0.efi`)

/**
 * Writes a UKI that is no program yet; durable when it returns.
 *
 * @throws UPDATE_INVALID if it could not become one; and what the source throws
 */
export async function writeDormant(media: Media, path: string, source: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await media.open(path, 'create')
  try {
    let position = 0
    for await (const piece of source) {
      await writeBehind(file, piece, position)
      position += piece.length
    }
    await file.datasync()
  } finally {
    await file.close()
  }
  await media.syncDirectory(join(path, '..'))
}

/** All but the two first bytes of a file, in their place zeros. */
async function writeBehind(file: MediaFile, piece: Uint8Array, position: number): Promise<void> {
  const head = piece.subarray(0, Math.max(0, MAGIC.length - position))
  if (!head.every((byte, at) => byte === MAGIC[position + at])) throw fault('UPDATE_INVALID', { expected: 'a UKI', found: 'something else' })
  for (let at = 0; at < piece.length; at += PIECE_BYTES) {
    const part = Buffer.from(piece.subarray(at, at + PIECE_BYTES))
    if (at === 0) part.fill(0, 0, head.length)
    await file.write([part], position + at)
  }
}

/** What a dormant file will be: its pieces as read from the medium, with the two first bytes in their place. */
export const awake = (piece: Buffer, position: number): Buffer => (position === 0 ? Buffer.concat([MAGIC, piece.subarray(MAGIC.length)]) : piece)

/** Makes a dormant UKI a program, which systemd-boot tries first from now on; durable when it returns. */
export async function wake(media: Media, path: string): Promise<void> {
  const file = await media.open(path, 'append')
  try {
    await file.write([MAGIC], 0)
    await file.datasync()
  } finally {
    await file.close()
  }
}
