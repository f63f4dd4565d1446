// A real storage node with an archive on it, and restore workers as the authority would start them.
import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { encodeKeyRing, type KeyRing } from '#format/keys.ts'
import { sealUserKey } from '#keystore-seal/sealed-key.ts'
import { parseSnapshotClear } from '#protocol/clear-part.ts'
import { frameRecord, KIND, parseRecord } from '#protocol/record.ts'
import { startStorage } from '#storage/storage-node.ts'
import type { Order, TicketAnswer } from '#worker/messages.ts'
import { type Outcome, type RunningRestore, spawnWorker, startRestoreWorker, type WorkerProcess } from '#worker/start-worker.ts'
import { type Device, makeSite } from '../../site-certificates.ts'
import { makeClient, optionsFor } from '../storage/client.ts'

const BATCH_BYTES = 16 * 1024 * 1024

export type WorkerSite = {
  readonly device: Device
  /** A user's keys, sealed: the half for the order, and what a keystore would open. */
  seal(ring: KeyRing): Half
  /** For whatever a test needs; removed at its end. */
  readonly folder: string
  ticket(): Promise<TicketAnswer>
  start(order?: Partial<Order>, more?: { worker?: WorkerProcess; main?: string; opened?: Buffer; ticket?: () => Promise<TicketAnswer> }): RunningRestore
  /** The whole archive file, and how it ended. */
  restore(order?: Partial<Order>): Promise<{ bytes: Buffer; outcome: Outcome }>
  /** Into a file of `folder`; throws unless all came. */
  restoreTo(name: string, order?: Partial<Order>): Promise<string>
  close(): Promise<void>
}

type Sealed = { readonly source: { readonly archive: string }; readonly ring: KeyRing }

/** @param records  of the archive: uploaded to the node, the snapshots committed; by default all */
export async function startWorkerSite(
  { source: { archive }, ring, ...sealedArchive }: Sealed & { readonly records: ReadonlyMap<string, Buffer> },
  records: Iterable<Buffer> = sealedArchive.records.values(),
): Promise<WorkerSite> {
  const site = await makeSite()
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-worker-'))
  const home = join(folder, 'node')
  const node = await startStorage(optionsFor(site, home))
  const { url } = node
  const device = { ...(await site.device()), archive }
  const client = await makeClient(site, url, device)
  const session = await client.open()
  const snapshots: Buffer[] = []
  let batch: Buffer[] = []
  let batch_bytes = 0
  const upload = async (): Promise<void> => {
    if (batch.length > 0) assert.equal((await client.upload(session, ...batch)).status, 200)
    batch = []
    batch_bytes = 0
  }
  for (const record of records) {
    if (parseRecord(record).header.kind === KIND.snapshot) {
      snapshots.push(record)
      continue
    }
    if (batch_bytes + record.length > BATCH_BYTES) await upload()
    batch.push(record)
    batch_bytes += record.length
  }
  await upload()
  const sequenceOf = (record: Buffer): number => parseSnapshotClear(Buffer.from(parseRecord(record).clear)).sequence
  for (const record of snapshots.sort((a, b) => sequenceOf(a) - sequenceOf(b))) assert.equal((await client.commit(session, record)).status, 200)
  client.close()

  const ticket = async (): Promise<TicketAnswer> => ({ ticket: await site.ticket(device, { claims: { verbs: ['restore'] } }), expires_in_ms: 300_000 })
  const { escrow, opened } = sealed(ring)
  const workers: WorkerSite = {
    device,
    seal: sealed,
    folder,
    ticket,
    start(order = {}, more = {}) {
      const whole: Order = {
        archive,
        snapshot: 'newest',
        paths: [],
        format: 'tar',
        storage: url,
        ca: site.ca.certificate,
        certificate: device.certificate,
        escrow,
        ...order,
      }
      const keys = { opened: more.opened ?? Buffer.from(opened), clientKey: Buffer.from(device.key), ticket: more.ticket ?? ticket }
      return startRestoreWorker(whole, keys, more.worker ?? spawnWorker(more.main))
    },
    async restore(order) {
      const running = workers.start(order)
      const parts: Buffer[] = []
      try {
        for await (const part of running.output as AsyncIterable<Buffer>) parts.push(part)
      } catch {
        // The outcome says why.
      }
      return { bytes: Buffer.concat(parts), outcome: await running.outcome }
    },
    async restoreTo(name, order) {
      const path = join(folder, name)
      const running = workers.start(order)
      await pipeline(running.output, createWriteStream(path))
      assert.deepEqual(await running.outcome, { kind: 'done' })
      return path
    },
    async close() {
      await node.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
  return workers
}

export type Half = { readonly escrow: Order['escrow']; readonly opened: Buffer }

// What a keystore does with its half, without one: opening it is no part of the worker.
const slot = generateKeyPairSync('rsa', { modulusLength: 2048 })
const OWNER = { tenant: 'main', slot: `s-${'0f'.repeat(16)}` }

function sealed(ring: KeyRing): Half {
  const owner = { ...OWNER, epoch: ring.newestEpoch }
  const { sealed_key, sealed_w } = sealUserKey(encodeKeyRing(ring), owner, slot.publicKey)
  const key = { key: slot.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
  const opened = privateDecrypt(key, Buffer.from(sealed_w.replace('vault:v1:', ''), 'base64'))
  return { escrow: { ...owner, sealed_key: sealed_key.toString('base64') }, opened }
}

/** A record that the storage node takes for that one, and that does not open. */
export function forged(record: Buffer): Buffer {
  const { header, clear, sealed } = parseRecord(record)
  return frameRecord(header.kind, header.epoch, header.id, clear, randomBytes(sealed.length))
}
