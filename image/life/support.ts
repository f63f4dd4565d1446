// The support bundle: what somebody far away needs to see what is wrong, and no secret. Everything in it is named here: no
// folder is taken as a whole, no file with keys is opened, and every text goes through redact().
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createZstdCompress } from 'node:zlib'
import type { Say } from '#image-update/act.ts'
import { writeWhole } from './durable.ts'
import { listDisks } from './list-disks.ts'
import type { Place } from './place.ts'
import { run } from './programs.ts'
import { redact } from './redact.ts'

const JOURNAL_LINES = 50_000
const PART_BYTES = 48 * 1024
const COMMAND_MS = 60_000

type Source = { readonly name: string; readonly read: () => Promise<string> }

const command = (name: string, program: string, ...parameters: string[]): Source => ({
  name,
  read: () => run(program, parameters, { isFine: () => true, timeout_ms: COMMAND_MS }),
})
const file = (name: string, path: string): Source => ({ name, read: () => readFile(path, 'utf8') })

function sourcesOf(place: Place): readonly Source[] {
  return [
    file('release.json', join(place.program, 'release.json')),
    file('os-release', '/etc/os-release'),
    file('config.json', join(place.home, 'config.json')),
    file('storage-config.json', join(place.home, 'storage/config.json')),
    file('data-disks.json', join(place.own, 'disks.json')),
    file('scrub.json', join(place.own, 'scrub.json')),
    file('attention.json', join(place.run, 'attention.json')),
    { name: 'disks.json', read: async () => JSON.stringify(await listDisks(place), undefined, 1) },
    command('journal.txt', 'journalctl', '--no-pager', '--quiet', '--output=short-iso-precise', `--lines=${JOURNAL_LINES}`),
    command('units.txt', 'systemctl', 'list-units', '--all', '--plain', '--no-pager', '--no-legend'),
    command(
      'unit-states.txt',
      'systemctl',
      'show',
      '--no-pager',
      '--property=Id,ActiveState,SubState,Result,NRestarts,MemoryCurrent,ExecMainStatus',
      'holdfast-*',
    ),
    command('kernel.txt', 'uname', '--all'),
    command('block-devices.json', 'lsblk', '--json', '--bytes', '--output-all'),
    command('btrfs.txt', 'btrfs', 'device', 'stats', place.archives),
    command('btrfs-usage.txt', 'btrfs', 'filesystem', 'usage', place.archives),
    command('room.txt', 'df', '--portability'),
    file('memory.txt', '/proc/meminfo'),
    command('network.txt', 'networkctl', 'status', '--all', '--no-pager'),
    command('time.txt', 'timedatectl', 'show'),
  ]
}

export type Bundle = { readonly name: string; readonly bytes: number; readonly sha256: string }

/**
 * Makes the bundle and hands it over in pieces, each said as `{part: base64}`, in order.
 *
 * @throws PROGRAM_FAILED  it could not be packed; what can't be collected is in it as an error
 */
export async function supportBundle(place: Place, now_ms: number, say: Say): Promise<Bundle> {
  const name = `holdfast-support-${new Date(now_ms).toISOString().slice(0, 19).replaceAll(/[:T]/g, '-')}`
  const scratch = join(place.own, 'support')
  await rm(scratch, { recursive: true, force: true })
  try {
    await mkdir(join(scratch, name), { recursive: true, mode: 0o700 })
    for (const source of sourcesOf(place)) {
      const text = await source.read().catch((error: unknown) => `could not be collected: ${(error as Error).message}\n`)
      await writeWhole(join(scratch, name, source.name), redact(text))
    }
    const packed = join(scratch, 'bundle.tar')
    await run('tar', ['--create', '--file', packed, '--directory', scratch, '--owner=0', '--group=0', name])
    const hash = createHash('sha256')
    let bytes = 0
    await pipeline(createReadStream(packed), createZstdCompress(), async (compressed: AsyncIterable<Buffer>) => {
      for await (const piece of compressed) {
        hash.update(piece)
        bytes += piece.length
        for (let at = 0; at < piece.length; at += PART_BYTES) say({ part: piece.subarray(at, at + PART_BYTES).toString('base64') })
      }
    })
    return { name: `${name}.tar.zst`, bytes, sha256: hash.digest('hex') }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
