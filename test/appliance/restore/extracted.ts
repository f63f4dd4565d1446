// What programs that are not ours make of an archive file, and what of a file's facts each of them can bring back.
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { factsOf } from './tree.ts'

const run = promisify(execFile)

/** How facts.py says it: path, mode, owner, group, time, number of names, and more by type. */
const FACTS = /^(\S+) 0o(\d+) (\d+) (\d+) (-?\d+) (\S+)(.*)$/

export type Fact = {
  readonly path: string
  readonly mode: number
  readonly owner: string
  readonly mtime_ns: bigint
  readonly nlink: string
  /** The target of a link, the numbers of a device; size and digest of a file. */
  readonly what: string
  readonly xattrs: string
  readonly isSparse: boolean
}

export function parseFacts(lines: readonly string[]): Fact[] {
  return lines.map(line => {
    const [, path = '', mode = '', uid = '', gid = '', mtime = '0', nlink = '', rest = ''] = FACTS.exec(line) ?? []
    const xattrs = /\[.*\]/.exec(rest)?.[0] ?? ''
    return {
      path,
      mode: Number.parseInt(mode, 8),
      owner: `${uid}:${gid}`,
      mtime_ns: BigInt(mtime),
      nlink,
      what: rest.replace(xattrs, '').replace(/ (sparse|full)$/, ''),
      xattrs,
      isSparse: rest.endsWith(' sparse'),
    }
  })
}

export const isLink = ({ mode }: Fact): boolean => (mode & 0o170000) === 0o120000
export const isSpecial = ({ mode }: Fact): boolean => ![0o040000, 0o100000, 0o120000].includes(mode & 0o170000)

const PYTHON_TAR = `
import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], numeric_owner=True)
`

/** Extracts an archive file into a new folder. */
export async function extract(how: 'tar' | 'python tarfile' | 'unzip', file: string, folder: string): Promise<void> {
  mkdirSync(folder)
  if (how === 'tar') {
    const { stderr } = await run('tar', ['-xpf', file, '-C', folder, '--numeric-owner', '--xattrs', '--xattrs-include=*', '--warning=no-timestamp'])
    // A header that it does not know would be said here.
    if (stderr !== '') throw new Error(stderr)
  } else if (how === 'python tarfile') await run('python3', ['-c', PYTHON_TAR, file, folder])
  // Owners, all bits of modes, and names with control characters.
  else await run('unzip', ['-q', '-X', '-K', '-^', file, '-d', folder])
}

export const extractedFacts = (folder: string, tree: string): Fact[] => parseFacts(factsOf(join(folder, tree)))

const PYTHON_ZIP = `
import hashlib, json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    isRead = sys.argv[2] == 'read'
    assert not isRead or archive.testzip() is None
    print(json.dumps({i.filename: [i.file_size, i.external_attr >> 16, list(i.date_time), hashlib.sha256(archive.open(i).read()).hexdigest() if isRead else ''] for i in archive.infolist()}))
`

/** Every entry as Python's zipfile sees it: size, mode, time, and if it is read, SHA-256; then checksums are compared. */
export const zipEntries = (file: string, isRead = true): Record<string, [size: number, mode: number, time: number[], digest: string]> =>
  JSON.parse(execFileSync('python3', ['-c', PYTHON_ZIP, file, isRead ? 'read' : ''], { encoding: 'utf8', maxBuffer: 2 ** 28 })) as Record<
    string,
    [number, number, number[], string]
  >

/** What differs, by path: so a failed test says that, and not a hundred facts. */
export function differences(found: readonly Fact[], wanted: readonly Fact[], comparable: (fact: Fact) => unknown): unknown[] {
  const byPath = new Map(found.map(fact => [fact.path, fact]))
  const differing = wanted.flatMap(fact => {
    const other = byPath.get(fact.path)
    byPath.delete(fact.path)
    const [a, b] = [other && JSON.stringify(comparable(other)), JSON.stringify(comparable(fact))]
    return a === b ? [] : [{ path: Buffer.from(fact.path, 'hex').toString(), found: a, wanted: b }]
  })
  return [...differing, ...byPath.keys()]
}
