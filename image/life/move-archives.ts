// Archives from one disk onto another, while the storage node goes on: what changes meanwhile is copied again at the end,
// when nothing writes any more. Nothing is taken away here, so a crash leaves everything as it was.
import { chmod, chown, mkdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Say } from '#image-update/act.ts'
import { archivesIn, type Segment, segmentsOf } from './archive-files.ts'
import { copyFile, digestOf, type Owner } from './copying.ts'
import { syncFolder } from './durable.ts'
import { fault } from './errors.ts'

/** Left free beside the archives, of all: what grows until the storage node writes to the new place, and some use. */
const SPARE_SHARE = 0.1

type Entry = { readonly segment: Segment; readonly sha256: string; isChecked: boolean }

export type Moving = {
  /** Copies what is not there yet, or was changed since. @throws TARGET_TOO_FULL */
  copy(say: Say): Promise<void>
  /** Reads back what was not yet, and compares. @throws COPY_DIFFERS */
  check(say: Say): Promise<void>
}

export function moveArchives(from: string, to: string, owner: Owner): Moving {
  const entries = new Map<string, Entry>()
  const keyOf = ({ archive, name }: Segment): string => join(archive, name)
  const list = async (): Promise<Segment[]> => (await Promise.all((await archivesIn(from)).map(archive => segmentsOf(from, archive)))).flat()
  return {
    async copy(say) {
      const isSame = (segment: Segment): boolean => {
        const known = entries.get(keyOf(segment))?.segment
        return known?.bytes === segment.bytes && known.changed_ms === segment.changed_ms
      }
      const due = (await list()).filter(segment => !isSame(segment))
      const total_bytes = due.reduce((sum, { bytes }) => sum + bytes, 0)
      const { bavail, blocks, bsize } = await statfs(to)
      const needed_bytes = total_bytes + Math.ceil(blocks * bsize * SPARE_SHARE)
      if (entries.size === 0 && bavail * bsize < needed_bytes) throw fault('TARGET_TOO_FULL', { expected: `${needed_bytes} bytes`, found: `${bavail * bsize}` })
      await chown(to, owner.uid, owner.gid)
      await chmod(to, 0o700)
      const folders = new Set<string>([to])
      let done_bytes = 0
      for (const segment of due) {
        const folder = join(to, segment.archive)
        if (!folders.has(folder)) {
          await mkdir(folder, { recursive: true, mode: 0o700 })
          await chown(folder, owner.uid, owner.gid)
          folders.add(folder)
        }
        const { sha256 } = await copyFile(join(from, keyOf(segment)), join(to, keyOf(segment)), segment.bytes, { mode: 0o600, owner })
        entries.set(keyOf(segment), { segment, sha256, isChecked: false })
        done_bytes += segment.bytes
        say({ step: 'copy', done_bytes, total_bytes })
      }
      for (const folder of [...folders].reverse()) await syncFolder(folder)
    },
    async check(say) {
      const due = [...entries].filter(([, { isChecked }]) => !isChecked)
      const total_bytes = due.reduce((sum, [, { segment }]) => sum + segment.bytes, 0)
      let done_bytes = 0
      for (const [key, entry] of due) {
        const found = await digestOf(join(to, key))
        if (found.sha256 !== entry.sha256) throw fault('COPY_DIFFERS', { found: key })
        entry.isChecked = true
        done_bytes += entry.segment.bytes
        say({ step: 'check', done_bytes, total_bytes })
      }
    },
  }
}
