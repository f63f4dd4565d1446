// Stores records until it is killed, and says of each record and snapshot that it was acknowledged, after it was.
//   node kill-child.ts HOME SEED
import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { parseRecord } from '#protocol/record.ts'
import { append } from '../../../appliance/archive/append.ts'
import { type Archive, openArchive } from '../../../appliance/archive/archive.ts'
import { commitSnapshot } from '../../../appliance/archive/commit-snapshot.ts'
import { ARCHIVE, openReal } from './open.ts'
import { block, framed, page, randomOf, snapshot } from './records.ts'

const [home = '', seed = '0'] = process.argv.slice(2)
const random = randomOf(Number(seed))
const WRITERS = 3

const say = (line: object): void => void writeSync(1, `${JSON.stringify(line)}\n`)
const acknowledged = (record: Buffer): void =>
  say({ id: parseRecord(record).header.id.toString('hex'), sha256: createHash('sha256').update(record).digest('hex') })
const below = (limit: number): number => Math.floor(random() * limit)

async function upload(archive: Archive, writer: number): Promise<never> {
  for (let turn = 0; ; turn++) {
    const name = `${seed}.${writer}.${turn}`
    const blocks = Array.from({ length: 1 + below(8) }, (_, i) => block(`${name}.${i}`, below(3000)))
    const needed = page(
      `${name}.page`,
      blocks.map(one => parseRecord(one).header.id),
    )
    await append(
      archive,
      [...blocks, needed].map(record => framed(record)),
    )
    for (const record of [...blocks, needed]) acknowledged(record)
    // One writer commits, so that the chain has one end.
    if (writer > 0) continue
    const { head } = archive
    const next = snapshot(`${name}.snapshot`, (head?.sequence ?? 0) + 1, head?.id, [parseRecord(needed).header.id])
    const committed = await commitSnapshot(archive, framed(next))
    acknowledged(next)
    say(committed)
  }
}

say({ opening: true })
const archive = await openArchive(await openReal(home, { segment_bytes: 50_000 }), ARCHIVE, { create: true })
await Promise.all(Array.from({ length: WRITERS }, (_, writer) => upload(archive, writer)))
