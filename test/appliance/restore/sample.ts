// An archive with a bit of everything that matters to the order of bytes: small and large files, files over several pages,
// links, holes.
import { randomBytes } from 'node:crypto'
import { createTestArchive, directory, type FileSpec, file, symlink, type TestArchive } from '../../agent/restore/archive.ts'

const MiB = 1024 * 1024

const files = (): FileSpec[] => {
  const linked = { ino: 7n, nlink: 2 }
  const data = randomBytes(3000)
  return [
    directory('a'),
    ...Array.from({ length: 300 }, (_, i) => file(`a/small ${String(i).padStart(3, '0')}`, randomBytes((i * 37) % 9000))),
    file('a/one name', data, linked),
    directory('b'),
    file('b/another name', data, linked),
    file('b/large', randomBytes(9 * MiB + 17)),
    file('b/medium', randomBytes(1_000_000)),
    symlink('b/symlink', '../a'),
    { path: 'b/fifo', mode: 0o010644 },
    file('b/sparse', randomBytes(5 * MiB), {
      holes: [
        [MiB, 700_000],
        [4 * MiB, MiB],
      ],
    }),
    file('b/sparse and small', randomBytes(5000), { holes: [[1000, 3 * MiB]] }),
    { path: 'b/only a hole', mode: 0o100644, size: 2 * MiB, holes: [[0, 2 * MiB]] },
    file('b/x', randomBytes(3 * MiB)),
    file('c', 'the last one'),
  ]
}

export type Sample = TestArchive & {
  /** Names of the blocks of a file. */
  blocksOf(path: string): string[]
  readonly pages: readonly Buffer[]
}

/** Large files go on over several pages. */
export async function sampleArchive(): Promise<Sample> {
  const archive = createTestArchive()
  const { entries, pages } = await archive.add(files(), { blockBytes: 300_000, extentsPerPage: 5, breaks: ['a/small 150'] })
  const blocksOf = (path: string): string[] => entries.find(entry => entry.path === path)?.extents.map(({ block }) => block.toString('latin1')) ?? []
  return Object.assign(archive, { blocksOf, pages })
}
