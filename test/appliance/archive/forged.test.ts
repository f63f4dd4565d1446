// A client may send any bytes as the sealed part of a record, also such as look like the archive's own records.
import test from 'ava'
import { frameRecord, KIND, RECORD_HEADER_BYTES } from '#protocol/record.ts'
import { damage, state } from '../../../appliance/archive/archive.ts'
import { missing } from '../../../appliance/archive/lookup.ts'
import { read } from '../../../appliance/archive/read.ts'
import { reindex } from '../../../appliance/archive/reindex.ts'
import { encodeFooter } from '../../../appliance/archive/segment-footer.ts'
import { encodeMark, encodeSegmentHeader, MARK_BYTES, type OwnPlace, SEGMENT_HEADER_BYTES } from '../../../appliance/archive/segment-records.ts'
import { closeStore } from '../../../appliance/archive/store.ts'
import { ARCHIVE, idsOf, put, segmentFile, simulate } from './open.ts'
import { block, idOf, joined } from './records.ts'

const before = block('before')
/** Where the sealed part of a record begins that is sent after `before`. */
const AT = SEGMENT_HEADER_BYTES + MARK_BYTES + before.length + MARK_BYTES + RECORD_HEADER_BYTES
const place: OwnPlace = { archive: Buffer.from(ARCHIVE, 'hex'), segment: 1, offset: AT, nonce: Buffer.from('a guess.') }
const forged = {
  'a footer that lists nothing': encodeFooter({ place, records: [], snapshots: [], torn: [] }),
  'a footer that lists what is not there': encodeFooter({
    place,
    records: [{ id: idOf('nowhere'), kind: KIND.block, offset: 0, length: 100 }],
    snapshots: [],
    torn: [{ offset: 0, length: AT }],
  }),
  'a mark': encodeMark(place, { received_ms: 1, durable_bytes: AT }),
  'a segment header': encodeSegmentHeader(place, 1),
}

for (const [what, bytes] of Object.entries(forged)) {
  test(`a record that ends in ${what} hides nothing and makes nothing up, for the index or without one`, async t => {
    const simulated = simulate()
    const smuggling = frameRecord(KIND.block, 1, idOf('smuggling'), Buffer.alloc(0), bytes)
    const archive = await simulated.open()
    await put(archive, before)
    await put(archive, smuggling)
    t.is(simulated.disk.content(segmentFile(1))?.length, AT + bytes.length)
    await closeStore(archive.store)
    simulated.database.setState(new Map())
    const again = await simulated.open()
    const [reindexed] = await reindex(again.store, ARCHIVE)
    t.is(reindexed?.records, 2)
    t.deepEqual(reindexed?.damage, [])
    t.deepEqual([...(await missing(again, Buffer.concat([idsOf(before, smuggling), idOf('nowhere')])))], [0b100])
    t.deepEqual(await joined((await read(again, idsOf(before, smuggling))).chunks), Buffer.concat([before, smuggling]))
    await put(again, block('after'))
    await closeStore(again.store)
    const last = await simulated.open()
    t.is(state(last).records, 3)
    t.deepEqual(damage(last), [])
  })
}
