// What may be committed, and who may write: one session at a time, in sequence, complete.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { READ_IDS_MAX } from '#protocol/limits.ts'
import { SESSION_HEADER } from '#protocol/storage-api.ts'
import { startStorage } from '#storage/storage-node.ts'
import { idOf, makeClient, makePage, makeRecord, makeSnapshot, optionsFor, startNode } from './client.ts'

test('a snapshot with a missing block or page is refused with their ids, and committed once they are there', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const [here, missing] = [makeRecord(), makeRecord()]
  const page = makePage([here, missing])
  const snapshot = makeSnapshot(1, undefined, [page])
  await client.upload(session, here)
  t.like((await client.commit(session, snapshot)).json, { code: 'SNAPSHOT_INCOMPLETE', facts: { missing_count: 1, missing: [idOf(page).toString('hex')] } })
  await client.upload(session, page)
  t.like((await client.commit(session, snapshot)).json, { code: 'SNAPSHOT_INCOMPLETE', facts: { missing_count: 1, missing: [idOf(missing).toString('hex')] } })
  t.deepEqual((await client.ask('/snapshots', { method: 'GET' })).json, { snapshots: [] })
  await client.upload(session, missing)
  t.like(await client.commit(session, snapshot), { status: 200 })
  t.like((await client.commit(session, snapshot)).json, { sequence: 1 }, 'committing it again answers the same')
})

test('a snapshot out of sequence, or that follows another than the newest, is refused', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const page = makePage([])
  await client.upload(session, page)
  const first = makeSnapshot(1, undefined, [page])
  t.like(await client.commit(session, makeSnapshot(2, first, [page])), { status: 409, code: 'SNAPSHOT_OUT_OF_SEQUENCE' })
  t.like(await client.commit(session, first), { status: 200 })
  for (const wrong of [
    makeSnapshot(1, undefined, [page]),
    makeSnapshot(3, first, [page]),
    makeSnapshot(2, undefined, [page]),
    makeSnapshot(2, makeRecord(), [page]),
  ])
    t.like(await client.commit(session, wrong), { status: 409, code: 'SNAPSHOT_OUT_OF_SEQUENCE' })
  t.like(await client.commit(session, makeSnapshot(2, first, [page])), { status: 200 })
  t.like((await client.ask('', { method: 'GET' })).json, { head: { sequence: 2 } })
})

test('what is no snapshot is not committed', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const snapshot = makeSnapshot(1, undefined, [])
  t.like(await client.commit(session, makeRecord()), { status: 400, code: 'RECORD_INVALID' })
  t.like(await client.commit(session, Buffer.concat([snapshot, snapshot])), { status: 400 })
  t.like(await client.commit(session, snapshot.subarray(0, snapshot.length - 1)), { status: 400, code: 'RECORD_CUT' })
  t.like(await client.commit(session, Buffer.alloc(0)), { status: 400 })
  t.like((await client.ask('', { method: 'GET' })).json, { head: null })
})

test('a second session is refused while one is used, and without one nothing is written', async t => {
  const { site, url, client } = await startNode(t)
  const session = await client.open()
  const second = await makeClient(site, url, client.device)
  t.like(await second.ask('/sessions', { body: {} }), { status: 409, code: 'SESSION_BUSY' })
  for (const name of ['', 'f'.repeat(32), `${session}0`]) {
    t.like(await client.upload(name, makeRecord()), { status: 409, code: 'SESSION_UNKNOWN' }, `session "${name}"`)
    t.like(await client.commit(name, makeSnapshot(1, undefined, [])), { status: 409, code: 'SESSION_UNKNOWN' })
  }
  t.like(await client.ask(`/sessions/${session}`, { method: 'DELETE' }), { status: 200 })
  t.like(await client.upload(session, makeRecord()), { status: 409, code: 'SESSION_UNKNOWN' })
  const next = await second.open()
  t.like(await second.upload(next, makeRecord()), { status: 200 })
  second.close()
})

test('a session ends with the connection that it came over, so an agent that was killed does not lock itself out', async t => {
  const { site, url, client } = await startNode(t)
  const session = await client.open()
  client.agent.destroy()
  const again = await makeClient(site, url, client.device)
  let opened = await again.ask('/sessions', { body: {} })
  // The node hears of the end of a connection a moment later.
  while (opened.code === 'SESSION_BUSY') opened = await again.ask('/sessions', { body: {} })
  t.is(opened.status, 200)
  t.not(opened.json['session'], session)
  again.close()
})

test('reading: unknown ids are named before the first byte, and lists that are cut or too long are refused', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const record = makeRecord()
  await client.upload(session, record)
  const unknown = makeRecord()
  t.like(await client.read([idOf(record), idOf(unknown)]), { status: 404, code: 'RECORD_UNKNOWN' })
  t.like(await client.read([Buffer.alloc(33)]), { status: 400, code: 'REQUEST_INVALID' })
  t.like(await client.read([Buffer.alloc(32 * (READ_IDS_MAX + 1))]), { status: 413, code: 'BODY_TOO_LARGE' })
  t.like(await client.ask('/missing', { body: Buffer.alloc(31), headers: { [SESSION_HEADER]: session } }), { status: 400, code: 'REQUEST_INVALID' })
  t.true((await client.read([idOf(record)])).body.equals(record))
})

test('a port in use, and a home in use, are named when a node starts, and the running one is not disturbed', async t => {
  const { site, home, url, client } = await startNode(t)
  const port = Number(new URL(url).port)
  const elsewhere = await mkdtemp(join(tmpdir(), 'holdfast-storage-'))
  t.teardown(() => rm(elsewhere, { recursive: true, force: true }))
  await t.throwsAsync(startStorage({ ...optionsFor(site, elsewhere), port }), { code: 'PORT_IN_USE' })
  await t.throwsAsync(startStorage(optionsFor(site, home)), { code: 'STORE_BUSY' })
  await client.open()
})
