// A restore that stops for good after a number of blocks, so that it can be killed right there.
//   node interrupted-child.ts ARCHIVE-DIRECTORY KEY-FILE TARGET RECORDS
import { readFileSync } from 'node:fs'
import { parseKeyFile } from '#format/key-file.ts'
import { deriveArchiveKeys } from '#format/keys.ts'
import { KIND } from '#protocol/record.ts'
import { openArchiveSource } from '#restore/recover.ts'
import { restore } from '#restore/restore.ts'
import { openSnapshotAt } from '#restore/snapshots.ts'

const [directory = '', keyFile = '', target = '', records = '0'] = process.argv.slice(2)
const ring = parseKeyFile(readFileSync(keyFile))
const source = await openArchiveSource(directory)
const keys = deriveArchiveKeys(ring, source.archive)
const snapshot = await openSnapshotAt(source, keys, 'latest')
let left = Number(records)
let handed: Promise<void> | undefined
await restore({
  source: {
    ...source,
    read: (ids, onRecord) =>
      source.read(ids, async record => {
        // Once handed over, a record may belong to another thread.
        const isBlock = record[4] === KIND.block
        await onRecord(record)
        if (!isBlock || --left > 0) return
        handed ??= new Promise(() => {
          // What was handed over before is written soon; the parent looks at the file itself.
          process.stdout.write('stopped\n')
          setInterval(() => {}, 1000)
        })
        await handed
      }),
  },
  keys,
  ring,
  snapshot,
  paths: [],
  target,
  onConflict: 'rename',
  isResume: false,
})
