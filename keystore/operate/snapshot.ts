// Taking a snapshot: everything that the keystore keeps, as it keeps it (sealed), encrypted once more while it streams to a
// file, because storage paths and names are in it in clear. Invariants:
//   it is never whole in memory, and never in clear on a disk;
//   a file under its final name is whole and durable, and only then named in the folder's record, before any old one is removed;
//   what the server sends is a gzip stream, and is read to its end as one while it passes: half a snapshot is none.
import { createHash } from 'node:crypto'
import { createWriteStream, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, type Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type { Access } from '#keystore-client/connection.ts'
import { fault as clientFault } from '#keystore-client/errors.ts'
import type { Transport } from '#keystore-client/transport.ts'
import { openOperatorSession } from './access.ts'
import { encrypt } from './age.ts'
import { placeWhole } from './durable-file.ts'
import { fault } from './errors.ts'
import { rawRequest } from './raw-request.ts'
import { type SnapshotEntry, snapshotsIn, writeSnapshots } from './snapshot-record.ts'

const PATH = 'sys/storage/raft/snapshot'

export type Taking = {
  readonly access: Access
  readonly transport: Transport
  /** Of the duty `snapshot`. */
  readonly token: string
  readonly folder: string
  /** age1…: each alone can open it. */
  readonly recipients: readonly string[]
  /** So many of the newest stay. */
  readonly keep: number
  readonly now_ms: number
  readonly signal?: AbortSignal
}

/**
 * Takes one.
 *
 * @throws KEYSTORE_SNAPSHOT_INCOMPLETE  the stream ended early; nothing is left of it
 * @throws AGE_KEY_INVALID, SNAPSHOTS_DAMAGED, KEYSTORE_*
 */
export async function takeSnapshot({ access, transport, token, folder, recipients, keep, now_ms, signal }: Taking): Promise<SnapshotEntry> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const before = snapshotsIn(folder)
  const { address } = await openOperatorSession(transport, token)
  const answer = await rawRequest(access, { address, method: 'GET', path: PATH, token, signal })
  if (answer.statusCode !== 200) {
    answer.destroy()
    throw clientFault(answer.statusCode === 403 ? 'KEYSTORE_REFUSED' : 'KEYSTORE_FAILED', { found: `${answer.statusCode} for a snapshot at ${address}` })
  }
  const name = `keystore-${new Date(now_ms).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z.snapshot.age`
  const file = join(folder, name)
  const sha256 = createHash('sha256')
  const seen = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const part of source) {
      sha256.update(part)
      yield part
    }
  }
  try {
    await pipeline(wholeGzip(answer), source => encrypt(source, recipients), seen, createWriteStream(`${file}.new`, { mode: 0o600, flush: true }))
  } catch (error) {
    rmSync(`${file}.new`, { force: true })
    signal?.throwIfAborted()
    throw error
  }
  placeWhole(`${file}.new`, file)
  const entry = { file: name, taken_ms: now_ms, bytes: statSync(file).size, sha256: sha256.digest('hex') }
  const kept = [...before.filter(one => one.file !== name), entry].slice(-keep)
  writeSnapshots(folder, kept)
  removeOthers(folder, kept)
  return entry
}

/** Passes a gzip stream on, and fails at its end unless it was whole. @throws KEYSTORE_SNAPSHOT_INCOMPLETE */
export async function* wholeGzip(source: Readable): AsyncGenerator<Buffer> {
  const check = new PassThrough()
  const checked = pipeline(check, createGunzip(), new Writable({ write: (_part, _encoding, done) => done() }))
  checked.catch(() => {})
  const incomplete = (cause: unknown): Error =>
    fault('KEYSTORE_SNAPSHOT_INCOMPLETE', { expected: 'a whole gzip stream', found: 'it ended early, or is none', cause })
  try {
    for await (const part of source as AsyncIterable<Buffer>) {
      if (!check.write(part)) await Promise.race([new Promise(resolve => check.once('drain', resolve)), checked])
      yield part
    }
    check.end()
    await checked
  } catch (cause) {
    throw incomplete(cause)
  } finally {
    check.destroy()
  }
}

/** What the record does not name: older ones, and what was cut short. */
function removeOthers(folder: string, kept: readonly SnapshotEntry[]): void {
  const names = new Set(kept.map(({ file }) => file))
  for (const name of readdirSync(folder)) if (/^keystore-[0-9TZ]{16}\.snapshot\.age(\.new)?$/.test(name) && !names.has(name)) rmSync(join(folder, name))
}
