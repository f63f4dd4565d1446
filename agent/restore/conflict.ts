// What happens when the place of a file is taken.
//   rename     what is there stays; the restored file gets another name (default)
//   overwrite  the restored file takes its place, in one step; a directory is never removed for it
//   skip       what is there stays; the file is not restored

/** What file systems allow for one name. */
const NAME_BYTES_MAX = 255

export type OnConflict = 'rename' | 'overwrite' | 'skip'
export const ON_CONFLICT: readonly OnConflict[] = ['rename', 'overwrite', 'skip']

/** The n-th other name (from 1): `report.restored.pdf`, `report.restored-2.pdf`; never longer than a name may be. Byte strings. */
export function otherName(name: string, n: number): string {
  const mark = n === 1 ? '.restored' : `.restored-${n}`
  const dot = name.lastIndexOf('.')
  const isSplit = dot > 0 && name.length - dot <= 16
  const [stem, extension] = isSplit ? [name.slice(0, dot), name.slice(dot)] : [name, '']
  return stem.slice(0, NAME_BYTES_MAX - mark.length - extension.length) + mark + extension
}

/** The same for a whole path. */
export function otherPath(path: string, n: number): string {
  const slash = path.lastIndexOf('/')
  return path.slice(0, slash + 1) + otherName(path.slice(slash + 1), n)
}
