// One entry of a snapshot, as `ls -l` shows it.
import { type Entry, TYPE, TYPE_MASK } from '#format/page.ts'
import { localTime } from '#restore/at.ts'
import { displayPath } from '#restore/byte-path.ts'

const LETTERS: Readonly<Record<number, string>> = {
  [TYPE.fifo]: 'p',
  [TYPE.character]: 'c',
  [TYPE.directory]: 'd',
  [TYPE.block]: 'b',
  [TYPE.file]: '-',
  [TYPE.symlink]: 'l',
}
const NAMES: Readonly<Record<number, string>> = {
  [TYPE.fifo]: 'fifo',
  [TYPE.character]: 'character device',
  [TYPE.directory]: 'directory',
  [TYPE.block]: 'block device',
  [TYPE.file]: 'file',
  [TYPE.symlink]: 'symlink',
}

export function entryLine(entry: Entry): string {
  const link = entry.target === undefined ? '' : ` -> ${displayPath(entry.target).slice(1)}`
  return `${modeText(entry.mode)} ${String(entry.uid).padStart(5)} ${String(entry.gid).padStart(5)} ${String(entry.size).padStart(12)} ${localTime(time_ms(entry))} ${displayPath(entry.path)}${link}`
}

export const entryAsJson = (entry: Entry): Record<string, unknown> => ({
  path: displayPath(entry.path),
  type: NAMES[entry.mode & TYPE_MASK] ?? 'unknown',
  mode: (entry.mode & 0o7777).toString(8).padStart(4, '0'),
  uid: entry.uid,
  gid: entry.gid,
  size: entry.size,
  mtime_ms: time_ms(entry),
  ...(entry.target === undefined ? {} : { target: displayPath(entry.target).slice(1) }),
})

const time_ms = (entry: Entry): number => Number(entry.mtime_ns / 1_000_000n)

function modeText(mode: number): string {
  const bits = [0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001].map((bit, i) => ((mode & bit) === 0 ? '-' : 'rwx'.charAt(i % 3)))
  const special = (bit: number, at: number, letter: string): void => {
    if ((mode & bit) !== 0) bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase()
  }
  special(0o4000, 2, 's')
  special(0o2000, 5, 's')
  special(0o1000, 8, 't')
  return (LETTERS[mode & TYPE_MASK] ?? '?') + bits.join('')
}
