import test from 'ava'
import { idOf, makeClient, makePage, makeRecord, makeSnapshot, startNode } from './client.ts'

test('what was uploaded and committed comes back byte for byte, each record once, also after a restart', async t => {
  const { client, restart } = await startNode(t)
  const blocks = [0, 1, 88, 100_000, 262_144 - 88, 262_144, 300_000, 1_500_000].map(bytes => makeRecord(bytes))
  const page = makePage(blocks)
  const session = await client.open()
  t.deepEqual((await client.missing(session, blocks.map(idOf))).body, Buffer.from([0xff]))
  t.like(await client.upload(session, ...blocks, page), { status: 200, json: { stored: 9, known: 0 } })
  t.deepEqual((await client.missing(session, [makeRecord(), ...blocks].map(idOf))).body, Buffer.from([1, 0]))
  const snapshot = makeSnapshot(1, undefined, [page])
  const committed = await client.commit(session, snapshot)
  t.like(committed, { status: 200, json: { snapshot: idOf(snapshot).toString('hex'), sequence: 1 } })

  for (const turn of ['before', 'after'] as const) {
    const asked = [...blocks, page, snapshot]
    const read = await client.read([...asked, ...asked].map(idOf))
    t.is(read.status, 200, turn)
    t.true(Buffer.concat(cut(read.body).sort(Buffer.compare)).equals(Buffer.concat([...asked].sort(Buffer.compare))))
    const list = await client.ask('/snapshots', { method: 'GET' })
    t.deepEqual(list.json, { snapshots: [committed.json] })
    const state = await client.ask('', { method: 'GET' })
    t.like(state.json, { archive: client.device.archive, head: { sequence: 1 }, records: 10 })
    if (turn === 'before') await restart()
  }
})

test('many requests at once share the node, and all of what they sent is there', async t => {
  const { client } = await startNode(t, { uploads_bytes: 21 * 1024 * 1024 })
  const session = await client.open()
  const bodies = Array.from({ length: 12 }, () => Array.from({ length: 10 }, (_, i) => makeRecord(i % 5 === 0 ? 3_000_000 : 200_000)))
  const answers = await Promise.all(bodies.map(body => client.upload(session, ...body)))
  for (const answer of answers) t.like(answer, { status: 200, json: { stored: 10, known: 0 } })
  const ids = bodies.flat().map(idOf)
  t.deepEqual((await client.missing(session, ids)).body, Buffer.alloc(15))
  t.is(
    (await client.read(ids)).body.length,
    bodies.flat().reduce((sum, record) => sum + record.length, 0),
  )
})

test('the largest record there may be is taken, though it fills nearly all memory for uploads', async t => {
  const { client } = await startNode(t, { uploads_bytes: 21 * 1024 * 1024 })
  const session = await client.open()
  const large = makeRecord(16 * 1024 * 1024)
  const answers = await Promise.all([
    client.upload(session, makeRecord(), large),
    client.upload(session, makeRecord(400_000)),
    client.upload(session, makeRecord(16 * 1024 * 1024)),
  ])
  t.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200],
  )
  t.true((await client.read([idOf(large)])).body.equals(large))
})

test('a body of thousands of tiny records is taken', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const records = Array.from({ length: 20_000 }, (_, i) => makeRecord(i % 7))
  t.like(await client.upload(session, ...records), { status: 200, json: { stored: 20_000, known: 0 } })
  const missing = await client.missing(session, records.map(idOf))
  t.true(missing.body.every(byte => byte === 0))
})

test('a slow reader gets everything, while others read', async t => {
  const { client, site, url } = await startNode(t)
  const session = await client.open()
  const records = Array.from({ length: 40 }, () => makeRecord(1_000_000))
  for (let i = 0; i < records.length; i += 20) await client.upload(session, ...records.slice(i, i + 20))
  const ids = records.map(idOf)
  const other = await makeClient(site, url, client.device)
  const answers = await Promise.all([client.read(ids), other.read(ids), client.read(ids), other.read(ids)])
  other.close()
  for (const answer of answers) t.is(answer.body.length, records.length * (1_000_000 + 88))
})

function cut(joined: Buffer): Buffer[] {
  const records: Buffer[] = []
  for (let at = 0; at < joined.length; ) {
    const length = 88 + joined.readUInt32LE(at + 12) + joined.readUInt32LE(at + 16)
    records.push(joined.subarray(at, at + length))
    at += length
  }
  return records
}
