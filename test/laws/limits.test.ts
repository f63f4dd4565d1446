// Each limit fits into those around it; a change of one that breaks another is seen here first.
import test from 'ava'
import * as limits from '#protocol/limits.ts'
import { ID_BYTES, RECORD_BYTES_MAX, RECORD_HEADER_BYTES } from '#protocol/record.ts'
import { textOf } from './source.ts'

const SNAPSHOT_FIXED_BYTES = 8 + ID_BYTES
/** Nonce, tag and the inner header around what is sealed. */
const SEALING_BYTES = 24 + 16 + 9

/** PADMÉ adds at most this share. */
const PADDING_SHARE_MAX = 0.12

test('a padded, sealed block fits into a record', t => {
  t.true(limits.BLOCK_BYTES_MAX * (1 + PADDING_SHARE_MAX) + SEALING_BYTES <= limits.SEALED_BYTES_MAX)
})

test("a page's block list and a snapshot's page list fit into the clear part of a record", t => {
  t.true(limits.PAGE_BLOCKS_MAX * ID_BYTES <= limits.CLEAR_BYTES_MAX)
  t.true(limits.SNAPSHOT_PAGES_MAX * ID_BYTES + SNAPSHOT_FIXED_BYTES <= limits.CLEAR_BYTES_MAX)
})

test('the largest record fits into one upload, and an upload of the usual size too', t => {
  t.true(RECORD_BYTES_MAX === RECORD_HEADER_BYTES + limits.CLEAR_BYTES_MAX + limits.SEALED_BYTES_MAX)
  t.true(RECORD_BYTES_MAX <= limits.UPLOAD_BYTES_MAX)
  t.true(limits.UPLOAD_BYTES_AIM + RECORD_BYTES_MAX <= limits.UPLOAD_BYTES_MAX)
})

test('the largest record fits into a segment', t => {
  t.true(RECORD_BYTES_MAX < limits.SEGMENT_BYTES_SEAL)
  t.true(limits.SEGMENT_BYTES_SEAL + RECORD_BYTES_MAX < 2 ** 32, 'offsets are u32')
})

test("a page's blocks can be asked for in one request, and a request of ids is small", t => {
  t.true(limits.PAGE_BLOCKS_MAX <= limits.MISSING_IDS_MAX)
  t.true(limits.READ_IDS_MAX <= limits.MISSING_IDS_MAX)
  t.true(limits.MISSING_IDS_MAX * ID_BYTES <= limits.UPLOAD_BYTES_MAX)
})

test('small files are shorter than a block, and a page holds a fair number of entries', t => {
  t.true(limits.SMALL_FILE_BYTES <= limits.BLOCK_BYTES_MAX)
  t.true(limits.PAGE_ENTRIES_MIN < limits.PAGE_ENTRIES_MAX)
})

test('a hundred missing ids fit into an error answer, and a whole list of snapshots into a JSON answer', t => {
  t.true(100 * (ID_BYTES * 2 + 3) + 4096 <= limits.JSON_BYTES_MAX)
})

test('times fit into one another: skew < ticket < session < link < certificate', t => {
  t.true(limits.CLOCK_SKEW_MS < limits.TICKET_MS)
  t.true(limits.TICKET_MS <= limits.SESSION_IDLE_MS)
  t.true(limits.SESSION_IDLE_MS < limits.LINK_MS)
  t.true(limits.LINK_MS < limits.DEVICE_CERTIFICATE_MS)
  t.true(limits.CLOCK_SKEW_MS < limits.CERTIFICATE_BACKDATE_MS)
})

test('a sealed key of as many epochs as there may be fits into a record, and in base64 into a JSON body with what goes beside it', t => {
  t.true(4096 * 36 + 256 <= limits.SEALED_KEY_BYTES_MAX)
  t.true(limits.SEALED_KEY_BYTES_MAX <= limits.SEALED_BYTES_MAX)
  t.true((limits.SEALED_KEY_BYTES_MAX / 3) * 4 + 4096 <= limits.JSON_BYTES_MAX)
})

test('every limit that PROTOCOL.md names has the value that it gives', t => {
  const named = limits as Readonly<Record<string, number>>
  const units: Readonly<Record<string, number>> = { MiB: 1024 * 1024, KiB: 1024, min: 60_000, h: 3_600_000, s: 1000 }
  let count = 0
  for (const line of textOf('appliance/PROTOCOL.md').split('\n')) {
    const cells = line.split('|').map(cell => cell.trim())
    const names = [...(cells[1] ?? '').matchAll(/`([A-Z_]+)`/g)].map(match => match[1] ?? '')
    const values = [...(cells[2] ?? '').matchAll(/(\d{1,3}(?:,\d{3})+|\d+) ?(MiB|KiB|min|h|s)?/g)].map(
      match => Number((match[1] ?? '').replaceAll(',', '')) * (units[match[2] ?? ''] ?? 1),
    )
    if (names.length === 0 || !names.every(name => name in named)) continue
    for (const [at, name] of names.entries()) t.is(named[name], values[at], name)
    count += names.length
  }
  t.true(count >= 10)
})
