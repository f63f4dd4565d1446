// Bodies that are not what they should be: each is refused by its code, what was stored stays, nothing wrong is stored.
import { randomBytes } from 'node:crypto'
import type { ClientRequest } from 'node:http'
import test from 'ava'
import fc from 'fast-check'
import { UPLOAD_BYTES_MAX } from '#protocol/limits.ts'
import { frameRecord, KIND } from '#protocol/record.ts'
import { BYTES_TYPE, SESSION_HEADER } from '#protocol/storage-api.ts'
import { type Answer, type Client, idOf, makeRecord, startNode } from './client.ts'

/** Sends these pieces one after the other; without `length` in chunks. */
const inPieces = (client: Client, session: string, pieces: readonly Buffer[], length?: number): Promise<Answer> =>
  client.ask('/records', {
    headers: { [SESSION_HEADER]: session, 'content-type': BYTES_TYPE, ...(length === undefined ? {} : { 'content-length': length }) },
    send: request => writeAll(request, pieces),
  })

function writeAll(request: ClientRequest, [piece, ...more]: readonly Buffer[]): void {
  if (piece === undefined) request.end()
  else request.write(piece, () => setImmediate(writeAll, request, more))
}

test('records that are cut, altered, too large or of a kind that is not uploaded are refused, and what was stored stays', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const stored = makeRecord()
  await client.upload(session, stored)
  const good = makeRecord(2000)
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(good)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy
  }
  const tooLarge = Buffer.from(good)
  tooLarge.fill(0xff, 12, 20)
  const bad: [what: string, body: Buffer, codes: string[]][] = [
    ['cut in its header', good.subarray(0, 50), ['RECORD_CUT']],
    ['cut in its sealed part', good.subarray(0, 1500), ['RECORD_CUT']],
    ['a good one and half of another', Buffer.concat([makeRecord(), good.subarray(0, 1500)]), ['RECORD_CUT']],
    ['altered in its sealed part', flipped(good.length - 1), ['RECORD_ALTERED']],
    ['altered in its id', flipped(30), ['RECORD_INVALID', 'RECORD_ALTERED']],
    ['altered in its first byte', flipped(0), ['RECORD_INVALID']],
    ['a length beyond all limits', tooLarge, ['RECORD_INVALID', 'RECORD_TOO_LARGE']],
    ['no record at all', randomBytes(3000), ['RECORD_INVALID']],
    ['a snapshot', makeRecord(100, KIND.snapshot), ['RECORD_INVALID']],
    ['a segment header', makeRecord(100, KIND.segmentHeader), ['RECORD_INVALID']],
  ]
  for (const [what, body, codes] of bad) {
    const answer = await client.ask('/records', { body, headers: { [SESSION_HEADER]: session } })
    t.true(codes.includes(String(answer.code)), `${what}: ${answer.status} ${String(answer.code)}`)
    t.true(answer.status >= 400 && answer.status < 500, what)
  }
  t.like(await client.read([idOf(good)]), { code: 'RECORD_UNKNOWN' })
  t.like(await client.upload(session, good), { status: 200, json: { stored: 1, known: 0 } })
  t.true((await client.read([idOf(stored)])).body.equals(stored))
})

test('a body that is too large is refused, declared or not, and nothing of it beyond the limit is stored', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  for (const isDeclared of [true, false]) {
    const records = Array.from({ length: 11 }, () => makeRecord(4_000_000))
    const bytes = records.reduce((sum, record) => sum + record.length, 0)
    t.true(bytes > UPLOAD_BYTES_MAX)
    const answer = await inPieces(client, session, records, isDeclared ? bytes : undefined)
    t.like(answer, { status: 413, code: 'BODY_TOO_LARGE' }, `declared: ${isDeclared}`)
    t.like(await client.read([idOf(records[10] as Buffer)]), { code: 'RECORD_UNKNOWN' })
    t.like(await client.upload(session, makeRecord()), { status: 200 })
  }
})

test('the same record sent again is known; the same id with other content is refused, and the first stays', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const first = makeRecord()
  t.like(await client.upload(session, first, first), { status: 200, json: { stored: 1, known: 1 } })
  t.like(await client.upload(session, first), { status: 200, json: { stored: 0, known: 1 } })
  const other = frameRecord(KIND.block, 1, Buffer.from(idOf(first)), Buffer.alloc(0), randomBytes(1000))
  const beside = makeRecord()
  t.like(await client.upload(session, other, beside), { status: 409, code: 'RECORD_CONFLICT' })
  t.true((await client.read([idOf(first)])).body.equals(first))
  await client.upload(session, beside)
  t.true((await client.read([idOf(beside)])).body.equals(beside))
})

test('a connection that dies inside a record leaves nothing behind, and the rest of the node works on', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const record = makeRecord(300_000)
  await t.throwsAsync(
    client.ask('/records', {
      headers: { [SESSION_HEADER]: session, 'content-type': BYTES_TYPE, 'content-length': record.length },
      send: request => void request.write(record.subarray(0, 200_000), () => request.destroy()),
    }),
  )
  t.like(await client.read([idOf(record)]), { code: 'RECORD_UNKNOWN' })
  t.like(await client.upload(session, record), { status: 200, json: { stored: 1 } })
})

test('however a body is cut into pieces, the same is stored', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 20 }), fc.boolean(), async (lengths, isDeclared) => {
      const records = [makeRecord(700), makeRecord(1), makeRecord(1500)]
      const body = Buffer.concat(records)
      const pieces: Buffer[] = []
      let at = 0
      for (const length of lengths) {
        pieces.push(body.subarray(at, at + length))
        at += length
      }
      pieces.push(body.subarray(at))
      const answer = await inPieces(
        client,
        session,
        pieces.filter(piece => piece.length > 0),
        isDeclared ? body.length : undefined,
      )
      t.like(answer, { status: 200, json: { stored: 3, known: 0 } })
      for (const record of records) t.true((await client.read([idOf(record)])).body.equals(record))
    }),
    { numRuns: 40 },
  )
})

test('any single flipped byte of a body is refused, and nothing wrong can be read afterwards', async t => {
  const { client } = await startNode(t)
  const session = await client.open()
  const page = frameRecord(KIND.page, 1, randomBytes(32), randomBytes(64), randomBytes(120))
  for (let at = 0; at < page.length; at++) {
    const body = Buffer.from(page)
    body[at] = (body[at] ?? 0) ^ (1 << (at % 8))
    const answer = await client.ask('/records', { body, headers: { [SESSION_HEADER]: session } })
    t.true(answer.status >= 400 && answer.status < 500, `byte ${at}: ${answer.status}`)
  }
  t.like(await client.read([idOf(page)]), { code: 'RECORD_UNKNOWN' })
  t.like((await client.ask('', { method: 'GET' })).json, { records: 0 })
})
