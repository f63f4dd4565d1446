// Any single flipped byte is harmless or found and named: with the index, without it, and for the read-only reader.
import test from 'ava'
import { listSegments } from '../../../appliance/archive/segment-contents.ts'
import { fillArchive, optionsOf, type Shape } from './archive-for-tests.ts'
import { checkNamedAndMended, checkReading, checkRecords, type Flip, type Truth, truthOf, victimOf } from './flips.ts'
import { ARCHIVE_DIR, type Simulated, segmentFile, simulate } from './open.ts'
import { randomOf, seedOf } from './records.ts'

const OPEN: Shape = { backups: 2, blocks: 2, block_bytes_max: 40, segment_bytes: 700 }
const SEALED: Shape = { ...OPEN, backups: 1, segment_bytes: 1000 }
const LARGE: Shape = { backups: 30, blocks: 8, block_bytes_max: 5000, segment_bytes: 60_000 }
const LARGE_RUNS = 120
const SEED = seedOf(7)

type Made = { readonly truth: Truth; readonly segments: ReadonlyMap<number, Buffer>; readonly index: ReturnType<Simulated['database']['state']> }

async function make(simulated: Simulated, shape: Shape): Promise<Made> {
  const archive = await simulated.open(optionsOf(shape))
  const { records } = await fillArchive(archive, shape)
  const truth = await truthOf(archive, records, simulated.disk)
  const numbers = await listSegments(simulated.disk, ARCHIVE_DIR)
  const segments = new Map(numbers.map(number => [number, Buffer.from(simulated.disk.content(segmentFile(number)) ?? [])]))
  return { truth, segments, index: simulated.database.state() }
}

/** Puts the segments back as they were, but for one byte. */
async function lay({ disk, database }: Simulated, { segments, index }: Made, flip: Flip, mask: number, withIndex: boolean): Promise<void> {
  disk.restart()
  for (const number of await listSegments(disk, ARCHIVE_DIR)) if (!segments.has(number)) disk.setContent(segmentFile(number), undefined)
  for (const [number, content] of segments) {
    const copy = Buffer.from(content)
    if (number === flip.segment) copy.writeUInt8(copy.readUInt8(flip.offset) ^ mask, flip.offset)
    disk.setContent(segmentFile(number), copy)
  }
  database.setState(withIndex ? index : new Map())
}

async function tryFlip(simulated: Simulated, made: Made, shape: Shape, flip: Flip, mask: number): Promise<void> {
  const { truth } = made
  const victim = victimOf(truth, flip)
  const victims = new Set(victim === undefined ? [] : [victim])
  await lay(simulated, made, flip, mask, true)
  await checkReading(ARCHIVE_DIR, truth, flip, simulated.disk)
  for (const withIndex of [true, false]) {
    await lay(simulated, made, flip, mask, withIndex)
    const archive = await simulated.open(optionsOf(shape))
    await checkRecords(archive, truth, victims)
    await checkNamedAndMended(archive, truth, flip, { hasIndex: withIndex })
  }
}

for (const [what, shape, segments] of [
  ['whose newest segment is open', OPEN, 3],
  ['whose newest segment is sealed', SEALED, 1],
] as const) {
  test(`any flipped byte of an archive ${what} is found and named, and hides nothing but the record that it hit`, async t => {
    const simulated = simulate()
    const made = await make(simulated, shape)
    const random = randomOf(SEED)
    t.is(made.segments.size, segments)
    for (const [segment, content] of made.segments) {
      for (let offset = 0; offset < content.length; offset++) {
        const mask = 1 + Math.floor(random() * 255)
        try {
          await tryFlip(simulated, made, shape, { segment, offset }, mask)
        } catch (error) {
          t.fail(`byte ${offset} of segment ${segment}, mask ${mask}: ${error instanceof Error ? error.stack : String(error)}`)
          return
        }
      }
    }
  })
}

test(`of a larger archive, any of ${LARGE_RUNS} flipped bytes is found and named, and hides nothing but the record that it hit (seed ${SEED})`, async t => {
  const simulated = simulate()
  const made = await make(simulated, LARGE)
  const random = randomOf(SEED)
  t.true(made.segments.size > 10)
  for (let run = 0; run < LARGE_RUNS; run++) {
    const [segment, content] = [...made.segments][Math.floor(random() * made.segments.size)] as [number, Buffer]
    // Half of them in the archive's own records and in headers and clear parts, of which a random byte hits few.
    const starts = [...made.truth.locations.values()].filter(location => location.segment === segment).map(location => location.offset)
    const near = (starts[Math.floor(random() * starts.length)] ?? 0) + Math.floor(random() * 400) - 200
    const offset = random() < 0.5 ? Math.floor(random() * content.length) : Math.max(0, Math.min(content.length - 1, near))
    await t.notThrowsAsync(tryFlip(simulated, made, LARGE, { segment, offset }, 1 << Math.floor(random() * 8)), `byte ${offset} of segment ${segment}`)
  }
})
